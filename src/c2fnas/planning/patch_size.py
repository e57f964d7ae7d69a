"""The arithmetic of plans: a spacing, an axis order and a patch that fit a data set's spacings and sizes."""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from c2fnas.shapes import Size, Spacing

Fits = Callable[[Size], bool]

MULTIPLE = 8


class NothingFits(ValueError):
    """Not even the least patch fits the memory."""


ANISOTROPY = 3.0
"""nnU-Net's threshold: beyond it, an axis is through-plane and takes a finer spacing than the median."""

SAME_SPACING = 1.1
"""An axis whose spacing exceeds the others' by less is no through-plane axis."""


def target_spacing(spacings: Sequence[Spacing], shapes: Sequence[Size]) -> Spacing:
    """The median spacing per axis; through thick slices the 10th percentile, but not below the other two.

    nnU-Net's rule: an axis counts as thick where its median spacing is more than three times the others' and its median
    number of voxels less than a third of theirs.

    >>> target_spacing([(0.8, 0.8, 5.0), (0.8, 0.8, 5.0), (0.8, 0.8, 2.5)], [(512, 512, 90)] * 3)
    (0.8, 0.8, 3.0)
    >>> target_spacing([(1.0, 1.0, 1.0)], [(35, 51, 35)])
    (1.0, 1.0, 1.0)
    """
    table = np.asarray(spacings, dtype=np.float64)
    median = np.median(table, axis=0)
    sizes = np.median(_resized(spacings, shapes, median), axis=0)
    through = int(np.argmax(median))
    others = [axis for axis in range(3) if axis != through]
    if median[through] > ANISOTROPY * median[others].max() and sizes[through] * ANISOTROPY < sizes[others].min():
        median[through] = max(float(np.percentile(table[:, through], 10)), float(median[others].max()))
    i, j, k = (float(round(value, 4)) for value in median)
    return i, j, k


def axis_order(spacing: Spacing) -> Size:
    """The order of canonical axes that puts the one with the largest spacing last; as they are where all are alike.

    >>> axis_order((3.0, 0.5, 0.5)), axis_order((1.0, 1.0, 1.05)), axis_order((0.6, 1.2, 0.6))
    ((1, 2, 0), (0, 1, 2), (0, 2, 1))
    """
    through = int(np.argmax(spacing))
    if spacing[through] <= SAME_SPACING * spacing[2]:
        return (0, 1, 2)
    first, second = (axis for axis in range(3) if axis != through)
    return first, second, through


def median_shape(spacings: Sequence[Spacing], shapes: Sequence[Size], spacing: Spacing) -> Spacing:
    """The median number of voxels per axis once every case has ``spacing``."""
    i, j, k = (float(value) for value in np.median(_resized(spacings, shapes, spacing), axis=0))
    return i, j, k


def fitted_patch(shape: Sequence[float], spacing: Spacing, most_voxels: int, fits: Fits = lambda patch: True) -> Size:
    """A patch that holds ``shape``, in multiples of 8, or as much of it as the voxels and the memory allow.

    As long as there are more than ``most_voxels`` or ``fits`` says no, the side that is longest in millimetres gives
    way, so that a capped patch looks equally far in every direction.

    >>> fitted_patch((36, 50, 35), (1, 1, 1), 96**3), fitted_patch((240, 240, 155), (1, 1, 1), 96**3)
    ((40, 56, 40), (96, 96, 96))
    >>> fitted_patch((400, 400, 90), (0.8, 0.8, 3), 96**3)
    (144, 152, 40)

    Raises:
        NothingFits: not even the least patch fits.
    """
    patch = [max(MULTIPLE, -(-round(size) // MULTIPLE) * MULTIPLE) for size in shape]
    while prod(patch) > most_voxels or not fits((patch[0], patch[1], patch[2])):
        reach = [side * mm if side > MULTIPLE else 0.0 for side, mm in zip(patch, spacing, strict=True)]
        if not any(reach):
            raise NothingFits("not even a patch of 8×8×8 voxels fits")
        patch[int(np.argmax(reach))] -= MULTIPLE
    return patch[0], patch[1], patch[2]


def part_of(patch: Size, share: float) -> Size:
    """A stride: a share of the patch's sides, in whole voxels, one at least.

    >>> part_of((40, 56, 15), 0.5)
    (20, 28, 8)
    """
    i, j, k = (max(1, int(side * share + 0.5)) for side in patch)
    return i, j, k


def _resized(spacings: Sequence[Spacing], shapes: Sequence[Size], spacing: Sequence[float] | np.ndarray) -> np.ndarray:
    return np.asarray(shapes) * np.asarray(spacings) / np.asarray(spacing)
