"""Reading images and labels from files into arrays. What is not sound is refused with the mend.

Arrays have the file's own voxel axes (i, j, k); affines map to (right, anterior, superior) in mm, whatever the format.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from c2fnas.data.dataset import LabelClass
from c2fnas.data.formats import Header, format_of, header_findings, suffix_of, without_suffix
from c2fnas.data.geometry import AFFINE_TOLERANCE, Geometry
from c2fnas.data.label_file import write_label
from c2fnas.data.problem import CaseError, Finding
from c2fnas.data.tiles import contiguous
from c2fnas.data.voxels import class_lookup, image_findings, label_findings, label_integers

__all__ = [
    "AFFINE_TOLERANCE",
    "CaseError",
    "Geometry",
    "Volume",
    "checked_volume",
    "grid_findings",
    "label_suffix",
    "read_geometry",
    "read_header",
    "read_image",
    "read_label",
    "read_stored",
    "write_label",
]

Result = TypeVar("Result")


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


def read_image(images: Sequence[Path], case: str = "", *, fill: float | None = None) -> Volume:
    """Read an image of one file (3D, or 4D with channels last) or of a file per channel.

    Args:
        images: the files, in the order of the channels.
        case: whose image it is, for messages.
        fill: the value for NaN and infinite voxels; without it they are refused.

    Raises:
        CaseError: a file is unsound, or the files don't lie on one grid.
    """
    volumes = [_read_channels(path, case or without_suffix(path), fill) for path in images]
    for path, volume in zip(images[1:], volumes[1:], strict=True):
        for finding in grid_findings(volume.geometry, volumes[0].geometry, images[0].name):
            raise CaseError.of(finding, case or without_suffix(path), path)
    if len(volumes) == 1:
        return volumes[0]  # concatenating would copy it
    return Volume(np.concatenate([volume.array for volume in volumes]), volumes[0].geometry)


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
    return _volume(stored, header, "", None)


def read_label(path: Path, classes: Sequence[LabelClass], case: str = "") -> tuple[np.ndarray, Geometry]:
    """Read a label file as class indices, uint8 ``[i, j, k]``: 0 is the background, the others are consecutive.

    Raises:
        CaseError: the file is unsound, has channels, or holds values that no class has.
    """
    case = case or without_suffix(path)
    stored, header = read_stored(path, case)
    _raise_first(label_findings(stored, classes), case, path)
    indices = class_lookup(classes)[label_integers(stored.reshape(stored.shape[:3]))]
    return contiguous(indices, np.uint8), Geometry.from_array(stored.shape[:3], header.affine)


def read_stored(path: Path, case: str) -> tuple[np.ndarray, Header]:
    """Read a file's voxels as they are stored, scaled, if its header shows no fault.

    Raises:
        CaseError: the header shows a fault, or the voxels are cut short or damaged.
    """
    header = _sound_header(path, case)
    return _of_case(case, lambda: format_of(path).read_voxels(header)), header


def grid_findings(geometry: Geometry, other: Geometry, name: str) -> list[Finding]:
    """How a grid differs from that of the file called ``name``: sizes, and affines beyond :data:`AFFINE_TOLERANCE`."""
    if geometry.shape != other.shape:
        text = ["×".join(map(str, shape)) for shape in (geometry.shape, other.shape)]
        return [
            Finding(
                f"size {text[0]}",
                f"size {text[1]}, as {name} has",
                "Resample one of the two to the grid of the other, or pair the right files.",
            )
        ]
    difference = geometry.affine_difference(other)
    if difference > AFFINE_TOLERANCE:
        mend = "If both show the same place, copy the affine of the one to the other; if not, resample."
        return [
            Finding(
                f"an affine that differs by {difference:.3g} mm from that of {name}",
                f"at most {AFFINE_TOLERANCE:g} mm",
                mend,
            )
        ]
    return []


def label_suffix(image: Path) -> str:
    """The suffix of a label file for an image: its own format, in one file."""
    suffix = suffix_of(image)
    return {".nhdr": ".nrrd", ".mhd": ".mha"}.get(suffix, suffix)


def _read_channels(path: Path, case: str, fill: float | None) -> Volume:
    return _volume(*read_stored(path, case), case, fill)


def _volume(stored: np.ndarray, header: Header, case: str, fill: float | None) -> Volume:
    channels = stored.reshape((*stored.shape[:3], -1))
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is found below
        array = contiguous(np.moveaxis(channels, -1, 0), np.float32)
    if fill is not None:
        array = np.where(np.isfinite(array), array, np.float32(fill))
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
        raise CaseError(case, error.file, error.found, error.expected, error.mend) from error.__cause__
