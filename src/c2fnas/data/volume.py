"""Images and labels in files, read into arrays and written. A file that is not sound is refused with the fix.

Arrays have the file's own voxel axes (i, j, k); affines map to (right, anterior, superior) in mm, whatever the format.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike

from c2fnas.data.dataset import LabelClass
from c2fnas.data.formats import Header, format_of, header_findings, suffix_of, without_suffix
from c2fnas.data.geometry import AFFINE_TOLERANCE, Geometry
from c2fnas.data.problem import CaseError, Finding
from c2fnas.data.voxels import class_lookup, image_findings, label_findings, label_integers
from c2fnas.files import write_atomically
from c2fnas.text import crossed

Result = TypeVar("Result")

TILE_I, TILE_K = 64, 16
"""Voxels along i and k that are copied at a time: their cache lines are still there when the next ones need them."""

SMALL = 1 << 18
"""Voxels that a processor's cache holds in any order."""


@dataclass(frozen=True)
class Volume:
    """An image: ``array`` float32 ``[channels, i, j, k]`` and where it lies."""

    array: np.ndarray
    geometry: Geometry


def read_header(path: Path, case: str = "") -> Header:
    """Read a volume file's header, of whatever format.

    Raises:
        CaseError: the file is absent or its header unreadable.
    """
    return _of_case(case or without_suffix(path), lambda: format_of(path).read_header(path))


def read_geometry(path: Path, case: str = "") -> Geometry:
    """Read where a volume lies from its header alone.

    Raises:
        CaseError: the header shows a fault.
    """
    header = _sound_header(path, case or without_suffix(path))
    return Geometry.from_array(header.shape[:3], header.affine)


def read_image(images: Sequence[Path], case: str = "") -> Volume:
    """Read an image of one file (3D, or 4D with channels last) or of a file per channel.

    Args:
        images: the files, in the order of the channels.
        case: the id for messages.

    Raises:
        CaseError: a file is unsound, or the files don't lie on one grid.
    """
    names = [case or without_suffix(path) for path in images]
    volumes = [_volume(*read_stored(path, name), name) for path, name in zip(images, names, strict=True)]
    if len(volumes) == 1:
        return volumes[0]  # concatenating would copy it
    geometry = volumes[0].geometry
    turned = [
        _turned(np.moveaxis(volume.array, 0, -1), volume.geometry, geometry, name, (path, images[0]))
        for path, volume, name in zip(images, volumes, names, strict=True)
    ]
    return Volume(np.concatenate([np.moveaxis(array, -1, 0) for array in turned]), geometry)


def checked_volume(stored: np.ndarray, affine: np.ndarray, name: str) -> Volume:
    """Return an image in memory, ``[i, j, k]`` or ``[i, j, k, channels]``, as if it had been read from a file.

    Args:
        stored: voxels of any integer or real type; they are copied.
        affine: 4×4, from voxel indices to millimetres (right, anterior, superior).
        name: what to call it in messages.

    Raises:
        CaseError: it is not sound: NaN, a sheared affine, two axes.
    """
    header = Header(Path(name), stored.shape, stored.dtype, np.asarray(affine, dtype=np.float64))
    _raise_first(header_findings(header), "", header.path)
    return _volume(stored, header, "")


def read_label(
    path: Path, classes: Sequence[LabelClass], case: str = "", on: Path | None = None
) -> tuple[np.ndarray, Geometry]:
    """Read a label file as class indices, uint8 ``[i, j, k]``: 0 is the background, the others are consecutive.

    Args:
        path: the file.
        classes: the values that it may hold.
        case: the id for messages.
        on: a file on whose grid it lies; a label that is stored along other axes is turned onto them.

    Raises:
        CaseError: the file is unsound, has channels, holds values that no class has, or lies on another grid.
    """
    case = case or without_suffix(path)
    stored, header = read_stored(path, case)
    _raise_first(label_findings(stored, classes, header.scaling), case, path)
    stored, geometry = stored.reshape(stored.shape[:3]), Geometry.from_array(stored.shape[:3], header.affine)
    if on is not None:
        other = read_geometry(on, case)
        stored, geometry = _turned(stored, geometry, other, case, (path, on)), other
    return contiguous(class_lookup(classes)[label_integers(stored)], np.uint8), geometry


def read_stored(path: Path, case: str) -> tuple[np.ndarray, Header]:
    """Read a file's voxels as they are stored, scaled, if its header shows no fault.

    Raises:
        CaseError: the header shows a fault, or the voxels are cut short or damaged.
    """
    header = _sound_header(path, case)
    return _of_case(case, lambda: format_of(path).read_voxels(header)), header


def grid_finding(geometry: Geometry, other: Geometry, name: str) -> Finding:
    """Return how a grid differs from ``other``, that of the file ``name``, and what helps."""
    resample = (
        "Resample the one onto the other's grid (a label by nearest neighbour: 3D Slicer, or nibabel's "
        "resample_from_to(label, image, order=0)), or pair the right files."
    )
    if sorted(geometry.shape) != sorted(other.shape):
        return Finding(f"size {crossed(geometry.shape)}", f"size {crossed(other.shape)}, as {name} has", resample)
    spacings, turns = np.array([geometry.spacing, other.spacing]), [each.matrix[:3, :3] for each in (geometry, other)]
    found = f"an affine that differs by {geometry.affine_difference(other):.3g} mm from that of {name}"
    expected = f"at most {AFFINE_TOLERANCE:g} mm, axes in any order"
    if geometry.shape != other.shape:
        found = f"size {crossed(geometry.shape)} where {name} has {crossed(other.shape)}, and {found}"
    elif np.abs(turns[0] / spacings[0] - turns[1] / spacings[1]).max() > AFFINE_TOLERANCE:
        found += ", with axes in other directions"
    elif np.abs(np.diff(spacings, axis=0)).max() > AFFINE_TOLERANCE:
        found += f", with spacing {crossed(geometry.spacing)} in place of {crossed(other.spacing)}"
        return Finding(found, expected, f"If the spacing was lost, copy that file's affine. If not: {resample}")
    else:
        found += ", by its origin alone"
        return Finding(found, expected, f"If both show the same place, copy that file's affine. If not: {resample}")
    return Finding(found, expected, f"Copying the affine would turn or mirror what is drawn. {resample}")


def contiguous(volume: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """``[..., i, j, k]`` of any strides as a contiguous array of ``dtype``, never a view.

    Equal to ``numpy.array(volume, dtype, order="C")``, and four times faster on a large volume with i fastest.
    """
    out = np.empty(volume.shape, dtype)
    if volume.size <= SMALL or volume.flags.c_contiguous:
        out[...] = volume
        return out
    for k in range(0, volume.shape[-1], TILE_K):
        for i in range(0, volume.shape[-3], TILE_I):
            tile = (..., slice(i, i + TILE_I), slice(None), slice(k, k + TILE_K))
            out[tile] = volume[tile]
    return out


def write_label(
    path: Path,
    labels: np.ndarray,
    geometry: Geometry,
    dtype: DTypeLike | None = None,
    classes: Sequence[LabelClass] | None = None,
    *,
    template: Path | None = None,
) -> None:
    """Write class indices ``[i, j, k]`` as the label values of ``classes``, in the format that ``path`` is named for.

    Args:
        path: .nii, .nii.gz, .nrrd or .mha.
        labels: class indices, or values as they are to be written where there are no ``classes``.
        geometry: the grid of ``labels``.
        dtype: the file's data type. By default that of ``template`` where it holds integers that fit; else the smallest
            unsigned integer type that holds every class.
        classes: maps class indices back to values (the first of each class).
        template: a NIfTI image whose header (codes of sform and qform, units) is kept.

    Raises:
        ValueError: ``labels`` has another shape than ``geometry``, or ``dtype`` can't hold a value.
        UserError: the file can't be written.
    """
    if labels.shape != geometry.shape:
        raise ValueError(f"labels of shape {labels.shape} don't fit the grid {geometry.shape}")
    own = format_of(template).read_header(template).dtype if template is not None else None
    typed = class_values(labels, classes, own, dtype)
    kind = format_of(path)
    same = template is not None and format_of(template) is kind
    write_atomically(path, lambda temporary: kind.write(temporary, typed, geometry.matrix, template if same else None))


def class_values(
    labels: np.ndarray,
    classes: Sequence[LabelClass] | None,
    own: np.dtype | None = None,
    dtype: DTypeLike | None = None,
) -> np.ndarray:
    """Return class indices as label values, the first of each class; as they are where there are no ``classes``.

    They have the type ``dtype``, else the type ``own`` of their image where it holds integers that fit, else the
    smallest unsigned integer type that holds every class.

    Raises:
        ValueError: ``dtype`` can't hold a value.
    """
    if classes is None:
        values = np.arange(int(labels.max(initial=0)) + 1)
    else:
        values = np.array([each.values[0] for each in classes])
    highest = int(values.max())
    chosen = _integers(own, highest) if dtype is None else np.dtype(dtype)
    if chosen.kind in "iu" and np.iinfo(chosen.str).max < highest:
        raise ValueError(f"{chosen} can't hold the label {highest}")
    return values.astype(chosen)[labels]


def label_suffix(image: Path) -> str:
    """Return the suffix of a label file for an image: its own format, in one file, in its own case; NIfTI for DICOM.

    >>> label_suffix(Path("SCAN.NII.GZ")), label_suffix(Path("scan.nhdr")), label_suffix(Path("slice.dcm"))
    ('.NII.GZ', '.nrrd', '.nii.gz')
    """
    suffix = image.name[len(image.name) - len(suffix_of(image)) :] or ".nii.gz"  # of DICOM
    return {".nhdr": ".nrrd", ".mhd": ".mha", ".NHDR": ".NRRD", ".MHD": ".MHA"}.get(suffix, suffix)


def _turned(array: np.ndarray, geometry: Geometry, other: Geometry, case: str, files: tuple[Path, Path]) -> np.ndarray:
    """Return ``[i, j, k, ...]`` along the axes of the grid ``other``: a view.

    Raises:
        CaseError: no turn lays one grid on the other; ``files`` are those of the array and of the grid.
    """
    (path, on), turn = files, geometry.turn_onto(other)
    if turn is None:
        raise CaseError.of(grid_finding(geometry, other, on.name), case, path)
    return turn.array(array)


def _volume(stored: np.ndarray, header: Header, case: str) -> Volume:
    channels = stored.reshape((*stored.shape[:3], -1))
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is found below
        array = contiguous(np.moveaxis(channels, -1, 0), np.float32)
    _raise_first(image_findings(array), case, header.path)
    return Volume(array, Geometry.from_array(stored.shape[:3], header.affine))


def _sound_header(path: Path, case: str) -> Header:
    header = read_header(path, case)
    _raise_first(header_findings(header), case, path)
    return header


def _raise_first(findings: Sequence[Finding], case: str, path: Path) -> None:
    for finding in findings:
        if finding.severity == "error":
            raise CaseError.of(finding, case, path)


def _of_case(case: str, read: Callable[[], Result]) -> Result:
    """Formats know files but no cases: name the case in what they raise."""
    try:
        return read()
    except CaseError as error:
        raise CaseError(case, error.file, error.found, error.expected, error.fix) from error.__cause__


def _integers(own: np.dtype | None, highest: int) -> np.dtype:
    fits = own is not None and own.kind in "iu" and np.iinfo(own.str).max >= highest
    return own.newbyteorder("=") if own is not None and fits else np.min_scalar_type(highest)
