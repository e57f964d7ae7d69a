"""An image as a user holds it (a file, a nibabel image, an array with an affine), and labels as users get them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.spatialimages import SpatialImage

from c2fnas.data.dataset import Case, LabelClass
from c2fnas.data.formats import format_of, nifti
from c2fnas.data.volume import Volume, checked_volume, class_values, read_header, read_image, write_label
from c2fnas.errors import UserError
from c2fnas.inference.prediction_files import find_cases

ImageLike = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | SpatialImage | np.ndarray
"""A volume file or a DICOM folder, a file per channel, a nibabel image, or ``[i, j, k]`` or ``[channels, i, j, k]``: an
array, a tensor, or MONAI's ``MetaTensor``, whose affine is its own."""


@dataclass(frozen=True)
class Image:
    """An image in memory that knows the kind it came as.

    Args:
        volume: Its voxels and grid.
        name: What to call it in messages; of files, the first one.
        dtype: Of the voxels as they came.
        header: Its NIfTI header, whose orientation fields labels keep; None where it has none.
        of_array: True if it came as an array.
        files: Those it was read from.
    """

    volume: Volume
    name: Path
    dtype: np.dtype
    header: nibabel.Nifti1Header | None = None
    of_array: bool = False
    files: tuple[Path, ...] = ()

    @classmethod
    def of(cls, image: ImageLike, affine: Any, channels: int) -> "Image":
        """Read or convert an image of ``channels`` channels; ``affine`` is that of an array.

        Raises:
            UserError: it is not sound, an array comes without its affine, or anything else with one.
        """
        if isinstance(image, SpatialImage | str | os.PathLike | list | tuple) and affine is not None:
            raise UserError("affine= goes with an array; a file or a nibabel image has its own. Leave it out.")
        if isinstance(image, SpatialImage):
            return _of_nibabel(image)
        if isinstance(image, str | os.PathLike):
            return _of_files(_only(find_cases([Path(image)], channels), image).images)
        if isinstance(image, list | tuple):
            if not image:
                raise UserError("An empty list of files: name a file for each channel.")
            return _of_files(tuple(map(Path, image)))
        return _of_array(np.asarray(image), getattr(image, "affine", None) if affine is None else affine)

    def labels(self, indices: np.ndarray, classes: Sequence[LabelClass]) -> Any:
        """Return class indices ``[i, j, k]`` as label values: an array, or else a nibabel image."""
        values = class_values(indices, classes, self.dtype)
        return values if self.of_array else nifti.label_image(values, self.volume.geometry.matrix, self.header)

    def probabilities(self, values: np.ndarray) -> Any:
        """Return ``[classes, i, j, k]`` as it is, or else as a nibabel image ``[i, j, k, classes]``."""
        if self.of_array:
            return values
        return nibabel.Nifti1Image(np.moveaxis(values, 0, -1), self.volume.geometry.matrix)

    def write(self, path: Path, indices: np.ndarray, classes: Sequence[LabelClass]) -> None:
        """Write class indices ``[i, j, k]`` as label values to a file of any format.

        Raises:
            UserError: the file can't be written, is the image itself, or would be two files.
        """
        if path.suffix.lower() in (".nhdr", ".mhd"):
            raise UserError(f"{path}: voxels would go to a file beside it. Name one file: {path.stem}.nrrd or .mha.")
        if path.resolve() in (file.resolve() for file in self.files):
            raise UserError(f"{path}: the labels would replace the image. Choose another output.")
        values = class_values(indices, classes, self.dtype)
        template = self.files[0] if self.files else None
        write_label(path, values, self.volume.geometry, values.dtype, template=template)


def _only(cases: tuple[Case, ...], image: str | os.PathLike[str]) -> Case:
    if len(cases) > 1:
        raise UserError(f"{image}: {len(cases)} cases. Name a folder for their labels: output=.")
    return cases[0]


def _of_files(files: tuple[Path, ...]) -> Image:
    volume, first = read_image(files), files[0]
    header = nifti.raw_header(first) if format_of(first) is nifti else None
    return Image(volume, first, read_header(first).dtype, header, files=files)


def _of_nibabel(image: SpatialImage) -> Image:
    stored = np.asanyarray(image.dataobj)
    while stored.ndim > 3 and stored.shape[-1] == 1:
        stored = stored[..., 0]
    if stored.ndim == 5 and stored.shape[3] == 1:  # NIfTI has vectors in the fifth axis
        stored = stored[..., 0, :]
    name = image.get_filename() or "image"
    header = image.header if isinstance(image.header, nibabel.Nifti1Header) else None
    affine = image.affine if header is None else nifti.in_millimetres(image.affine, header)
    return Image(checked_volume(stored, affine, name), Path(name), image.get_data_dtype(), header)


def _of_array(array: np.ndarray, affine: Any) -> Image:
    if affine is None or np.shape(affine) != (4, 4) or np.asarray(affine).dtype.kind not in "iuf":
        raise UserError(
            "An array needs affine=, the 4×4 matrix from its voxel indices (i, j, k) to millimetres to the right, to "
            "the front and to the head, as nibabel's image.affine."
        )
    stored = np.moveaxis(array, 0, -1) if array.ndim == 4 else array
    return Image(checked_volume(stored, affine, "array"), Path("array"), array.dtype, of_array=True)
