"""Labels on a coarser grid: the ceiling of a plan, and how many voxels lie across a structure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from c2fnas.data.dataset import Case, Dataset, evenly_spread
from c2fnas.data.plan import Plan
from c2fnas.data.preprocess import prepared_shape, through_plane
from c2fnas.data.resample import resample_labels
from c2fnas.data.restoration import Restoration, box_of
from c2fnas.data.scheme import LabelScheme
from c2fnas.data.volume import read_label
from c2fnas.shapes import Spacing

SAMPLED = 6
"""Cases that are looked at."""

MARGIN = 8
"""Voxels around the foreground that are kept: the rest of a volume loses nothing."""

MOST_VOXELS = 1 << 22
"""Of a label that are kept. Of a larger one some planes are, other ones of each case: time and memory stay bounded."""


@dataclass(frozen=True)
class SampledLabel:
    """The label of a case around its foreground, in the axes of a plan.

    Attributes:
        label: indices of the label scheme's parts, uint8 ``[i, j, k]``; at most about :data:`MOST_VOXELS`.
        spacing: millimetres between voxels.
        box: sides in millimetres of the box that holds the foreground.
    """

    label: np.ndarray
    spacing: Spacing
    box: Spacing


def sample_labels(dataset: Dataset, axes: tuple[int, int, int]) -> tuple[SampledLabel, ...]:
    """Read the labels of some training cases, spread evenly; those without any foreground are left out."""
    by_id = {case.id: case for case in dataset.training if case.label is not None}
    cases = evenly_spread(tuple(by_id), SAMPLED)
    parts = [(number + 0.5) / len(cases) for number in range(len(cases))]
    found = [_sampled(by_id[case], dataset, axes, part) for case, part in zip(cases, parts, strict=True)]
    return tuple(each for each in found if each is not None)


def _sampled(case: Case, dataset: Dataset, axes: tuple[int, int, int], part: float) -> SampledLabel | None:
    assert case.label is not None
    labels, geometry = read_label(case.label, dataset.scheme.parts, case.id, case.images[0])
    way = Restoration.to_axes(geometry.with_spacing(case.spacing), axes)
    label = way.view(labels)
    foreground = (label > 0) & (label != dataset.scheme.ignored)
    if not foreground.any():
        return None
    box = box_of(foreground)
    kept = _bounded(foreground, [(max(0, first - MARGIN), last + MARGIN) for first, last in box], part)
    i, j, k = ((last - first) * mm for (first, last), mm in zip(box, way.spacing, strict=True))
    return SampledLabel(np.ascontiguousarray(label[kept]), way.spacing, (i, j, k))


def _bounded(foreground: np.ndarray, sides: list[tuple[int, int]], part: float) -> tuple[slice, ...]:
    """Return what is kept: all within ``sides``, or the planes about ``part`` (0 to 1) of the foreground's extent."""
    kept = [slice(first, min(last, size)) for (first, last), size in zip(sides, foreground.shape, strict=True)]
    extents = [each.stop - each.start for each in kept]
    if prod(extents) > MOST_VOXELS:
        axis = int(np.argmax(extents))
        thick = max(2 * MARGIN, MOST_VOXELS * extents[axis] // prod(extents))
        shown = np.flatnonzero(foreground.any(tuple({0, 1, 2} - {axis})))
        start = int(shown[int(part * len(shown))]) - thick // 2
        start = max(kept[axis].start, min(start, kept[axis].stop - thick))
        kept[axis] = slice(start, start + thick)
    return tuple(kept)


def ceilings(samples: Sequence[SampledLabel], plan: Plan) -> dict[str, float]:
    """Return the Dice of a perfect label that is mapped to the plan's grid and back, by class; 1 where unseen.

    Voxels that are ignored do not count.
    """
    scheme = plan.scheme
    dice: dict[str, list[float]] = {name: [] for name in scheme.names}
    for each in samples:
        back, known = there_and_back(each, plan), each.label != scheme.ignored
        for number, name in enumerate(dice):
            truth, found = scheme.mask(each.label, number), scheme.mask(back, number) & known
            if truth.any():
                dice[name].append(2 * float((truth & found).sum()) / float(truth.sum() + found.sum()))
    return {name: float(np.mean(values)) if values else 1.0 for name, values in dice.items()}


def there_and_back(sample: SampledLabel, plan: Plan) -> np.ndarray:
    """Return a label as it comes back from the plan's grid: as cases are prepared, and predictions restored."""
    shape, axis = prepared_shape(sample.label.shape, sample.spacing, plan), through_plane(sample.spacing, plan)
    return resample_labels(resample_labels(sample.label, shape, axis), sample.label.shape, axis)


def chords(samples: Sequence[SampledLabel], scheme: LabelScheme) -> np.ndarray:
    """Return the typical extent of each foreground class or region along each axis in millimetres, ``[classes, 3]``.

    It is the mean length of a line through the structure, the median over cases; infinite for a class that none shows.
    """
    found = np.full((len(samples), len(scheme.names), 3), np.nan)
    for number, each in enumerate(samples):
        for index in range(len(scheme.names)):
            mask = scheme.mask(each.label, index)
            if mask.any():
                found[number, index] = [mean_chord(mask, axis) * each.spacing[axis] for axis in range(3)]
    known = ~np.isnan(found).all(0)
    return np.where(known, np.nanmedian(np.where(known, found, 0.0), axis=0), np.inf)


def mean_chord(mask: np.ndarray, axis: int) -> float:
    """Return the mean length in voxels of the runs of true voxels along an axis.

    >>> mean_chord(np.array([[1, 1, 0, 1], [0, 1, 1, 1]], bool), 1)
    2.0
    """
    starts = mask & ~np.roll(mask, 1, axis)
    first = [slice(None)] * mask.ndim
    first[axis] = slice(0, 1)
    starts[tuple(first)] = mask[tuple(first)]
    return float(mask.sum() / starts.sum())
