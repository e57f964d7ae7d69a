"""Slices of DICOM images: where each lies and how its values are scaled, and the grid that a series of them makes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2fnas.data.formats.header import LPS_TO_RAS
from c2fnas.data.problem import Finding

if TYPE_CHECKING:
    from pydicom import Dataset

EVEN = 0.02
"""Share of the distance of two slices by which others may differ; positions are written with few digits."""
TILT = 0.1
"""Degrees between the way through the slices and their normal that rounding does not explain."""
SAME = 1e-4
"""Largest difference of two directions that are the same but for rounding."""


@dataclass(frozen=True)
class Slice:
    """A plane of an image: a file, or a frame of one.

    Attributes:
        path: of the file.
        frame: its number in a multi-frame file, else None.
        series: the series' identifier, ``number`` its number, ``instance`` the file's identifier.
        rows: pixels downwards; ``columns`` those to the right.
        position: of the first pixel's centre, mm (left, posterior, superior).
        across: the direction of a row, ``down`` that of a column.
        spacing: millimetres between columns, and between rows.
        slope: of the values, with ``intercept``.
        thickness: millimetres; None where it is not said.
        dtype: of the stored pixels.
        channels: values of a pixel: three of a colour image.
        modality: such as CT or MR; empty where it is not said.
    """

    path: Path
    frame: int | None
    series: str
    number: int
    instance: str
    rows: int
    columns: int
    position: tuple[float, float, float]
    across: tuple[float, float, float]
    down: tuple[float, float, float]
    spacing: tuple[float, float]
    slope: float
    intercept: float
    thickness: float | None
    dtype: np.dtype
    channels: int
    modality: str = ""

    @property
    def normal(self) -> np.ndarray:
        """The direction through the slice, in which slices are counted."""
        return np.cross(self.across, self.down)

    @property
    def depth(self) -> float:
        """The place along the normal."""
        return float(self.normal @ self.position)


def is_image(dataset: "Dataset") -> bool:
    """Return true for a file that says it is one of images with a place in the patient: CT, MR, PET and the like."""
    from pydicom.uid import UID

    told = dataset.get("SOPClassUID") or getattr(dataset, "file_meta", {}).get("MediaStorageSOPClassUID") or ""
    return UID(str(told)).name.endswith("Image Storage")


def slices_of(dataset: "Dataset", path: Path) -> Iterator[Slice]:
    """Yield the slices of a file; none of what has no pixels or no place in the patient."""
    if "Rows" not in dataset or dataset.get("Modality") in ("SEG", "RTDOSE"):
        return
    frames = dataset.get("PerFrameFunctionalGroupsSequence")
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or []), None)
    for number, frame in enumerate(frames or [None]):
        places = [each for each in (frame, shared) if each is not None] if frames else []
        position = _found(places, dataset, "PlanePositionSequence", "ImagePositionPatient")
        turn = _found(places, dataset, "PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = _found(places, dataset, "PixelMeasuresSequence", "PixelSpacing")
        if position is None or turn is None or spacing is None:
            return
        x, y, z = map(float, position)
        a, b, c, d, e, f = map(float, turn)
        thickness = _found(places, dataset, "PixelMeasuresSequence", "SliceThickness")
        slope = _found(places, dataset, "PixelValueTransformationSequence", "RescaleSlope")
        intercept = _found(places, dataset, "PixelValueTransformationSequence", "RescaleIntercept")
        yield Slice(
            path,
            number if frames else None,
            str(dataset.get("SeriesInstanceUID", "")),
            int(dataset.get("SeriesNumber") or 0),
            str(dataset.get("SOPInstanceUID", path.name)),
            int(dataset.Rows),
            int(dataset.Columns),
            (x, y, z),
            (a, b, c),
            (d, e, f),
            (float(spacing[1]), float(spacing[0])),
            1.0 if slope is None else float(slope),
            0.0 if intercept is None else float(intercept),
            float(thickness) if thickness else None,
            np.dtype(f"{'i' if dataset.get('PixelRepresentation') else 'u'}{max(1, dataset.BitsAllocated // 8)}"),
            int(dataset.get("SamplesPerPixel", 1)),
            str(dataset.get("Modality") or ""),
        )


def series_affine(slices: Sequence[Slice]) -> np.ndarray:
    """Return the affine of a series, from (column, row, slice) to mm (right, anterior, superior).

    The way through the slices is their normal: a series where it is not has a finding.
    """
    first, affine = slices[0], np.eye(4)
    between = len(slices) - 1  # the mean of steps: positions of few digits would add up
    step = (slices[-1].depth - first.depth) / between if between else first.thickness or 1.0
    affine[:3, 0] = np.multiply(first.across, first.spacing[0])
    affine[:3, 1] = np.multiply(first.down, first.spacing[1])
    affine[:3, 2] = first.normal * step
    affine[:3, 3] = first.position
    return LPS_TO_RAS @ affine


def series_findings(slices: Sequence[Slice]) -> Iterator[Finding]:
    """Yield everything by which slices, sorted by depth, are no regular volume."""
    alike = {(each.rows, each.columns, each.spacing) for each in slices}
    if slices[0].channels != 1:
        yield Finding("colour images", "grey values", "Name a series of CT, MR or PET.")
    if len(alike) > 1:
        fix = "Put slices of one size into a folder of their own; a localizer may be among them."
        yield Finding(f"slices of {len(alike)} sizes or pixel spacings", "one size", fix)
    turns = np.array([[*each.across, *each.down] for each in slices])
    if np.ptp(turns, axis=0).max() > SAME:
        fix = "Put slices of one direction into a folder of their own; a localizer may be among them."
        yield Finding("slices in several directions", "parallel slices", fix)
        return
    if len(slices) == 1:
        if slices[0].thickness is None:
            fix = "One millimetre is taken. Give the header a SliceThickness."
            yield Finding("one slice without a thickness", "a thickness", fix, "warning")
        return
    yield from _spacing_findings(slices)


def _usual_step(slices: Sequence[Slice]) -> float:
    """The lower median of the distances between neighbours: a gap is larger."""
    steps = np.sort(np.diff([each.depth for each in slices]))
    return float(steps[(len(steps) - 1) // 2])


def _spacing_findings(slices: Sequence[Slice]) -> Iterator[Finding]:
    steps = np.diff([each.depth for each in slices])
    doubled = int((steps < 1e-3).sum())
    if doubled:
        fix = "If they are phases, echoes or points in time, put each into a folder of its own; if copies, delete one."
        yield Finding(f"{doubled} slices at the place of another one", "each place once", fix)
        return
    usual = _usual_step(slices)
    uneven = np.flatnonzero(np.abs(steps - usual) > EVEN * usual)
    if len(uneven):
        place, gap = int(uneven[0]) + 1, steps[uneven[0]]
        why = "A slice is missing there: export the series again." if gap > 1.5 * usual else "Resample the series."
        found = f"{gap:.4g} mm between slices {place} and {place + 1}, at {len(uneven)} places in all"
        yield Finding(found, f"{usual:.4g} mm between all slices", why)
        return
    way = np.subtract(slices[-1].position, slices[0].position)
    tilt = float(np.degrees(np.arccos(np.clip(slices[0].normal @ way / np.linalg.norm(way), -1, 1))))
    if tilt > TILT:
        fix = "Resample it to a rectangular grid: `dcm2niix` corrects the tilt of CT, 3D Slicer that of any series."
        yield Finding(f"a tilted gantry: slices shifted by {tilt:.2f}°", "slices at right angles", fix)


def _found(places: Sequence[Any], dataset: Any, group: str, name: str) -> Any:
    """An attribute of a frame's functional group, of the shared one, or of the file itself; None where it is not."""
    for each in places:
        for item in each.get(group) or []:
            if item.get(name) is not None:
                return item.get(name)
    return dataset.get(name)
