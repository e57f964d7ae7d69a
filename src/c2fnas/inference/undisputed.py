"""Labels where the prepared voxels around agree: no score needs to be interpolated there."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from torch import Tensor, from_numpy

from c2fnas.data.resample import Taps
from c2fnas.data.scheme import LabelScheme

DISPUTED = 255
"""Stands for a voxel whose label depends on the scores around it."""

MOST = 0.125
"""The share of disputed voxels above which interpolating everywhere is faster."""

SLACK = 1e-5
"""A class that leads by less than this part of a plane's largest score may tie after interpolation, by rounding."""


def sparse_labels(scores: Tensor, taps: Sequence[Taps], scheme: LabelScheme) -> np.ndarray | None:
    """Return the part of every original voxel, uint8 ``[i, j, k]``; None where interpolating everywhere is faster.

    A voxel has the label of the prepared voxels around it where all of them agree: interpolation weighs them with
    weights that are not negative, and rounding keeps the order of what is weighed alike. All others are interpolated,
    by the same sums as :meth:`c2fnas.data.resample.Taps.apply` takes, so that the labels are the same bit for bit.

    Args:
        scores: ``[outputs, i, j, k]`` of the prepared grid, float, on the CPU, finite.
        taps: of each axis, where its original voxels lie between prepared ones.
        scheme: of the labels.
    """
    if len(scores) >= DISPUTED or len(scheme.parts) >= DISPUTED:
        return None
    values = scores.float().numpy()
    plane = _merged(_prepared(values[:, :1], scheme), (None, *taps[1:]))
    if np.count_nonzero(plane == DISPUTED) > MOST * plane.size:  # a look at one plane, before the work on all
        return None
    labels = _merged(_prepared(values, scheme), taps)
    disputed = np.flatnonzero(labels == DISPUTED)
    if len(disputed) > MOST * labels.size:
        return None
    if len(disputed):
        places = np.unravel_index(disputed, labels.shape)
        labels.ravel()[disputed] = scheme.decode(from_numpy(each) for each in _interpolated(values, taps, places))
    return labels


def _prepared(values: np.ndarray, scheme: LabelScheme) -> np.ndarray:
    """The part of every prepared voxel; disputed where a class leads a lower one by so little that rounding may tie.

    Plane by plane, which stay in the processor's cache. Of regions a score above 0 stays above, and others below.
    """
    if scheme.order is not None:
        return scheme.decode(map(from_numpy, values))
    labels = np.zeros(values.shape[1:], dtype=np.uint8)
    for number, plane in enumerate(labels):
        best, own = values[0, number], values[:, number]
        slack = np.float32(SLACK * max(abs(float(own.max())), abs(float(own.min()))))
        for index in range(1, len(own)):
            np.putmask(plane, own[index] > best, DISPUTED)
            np.putmask(plane, own[index] > best + slack, index)
            if index + 1 < len(own):
                best = np.maximum(best, own[index])
    return labels


def _merged(labels: np.ndarray, taps: Sequence[Taps | None]) -> np.ndarray:
    """Labels at the original voxels: that of the voxels around where they agree, else disputed."""
    for axis, along in enumerate(taps):
        if along is None or (along.identical and labels.shape[axis] == len(along.low)):
            continue
        low, high = labels.take(along.low, axis), labels.take(along.high, axis)
        np.putmask(low, low != high, DISPUTED)
        labels = low
    return labels


def _interpolated(values: np.ndarray, taps: Sequence[Taps], places: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The scores of each output at some original voxels."""
    sizes = values.shape[1:]
    ends = [(each.low[place], each.high[place]) for each, place in zip(taps, places, strict=True)]
    weights = [each.weight[place] for each, place in zip(taps, places, strict=True)]
    rows = [(i * sizes[1] + j) * sizes[2] for i, j in product(ends[0], ends[1])]
    offsets = [(row + ends[2][0], row + ends[2][1]) for row in rows]
    found = []
    for each in values:
        flat = each.reshape(-1)
        lines = [_between(flat[low], flat[high], weights[2]) for low, high in offsets]
        near, far = (_between(lines[at], lines[at + 1], weights[1]) for at in (0, 2))
        found.append(_between(near, far, weights[0]))
    return found


def _between(low: np.ndarray, high: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The sum that :meth:`Taps.apply` takes, rounded at the same places."""
    low *= 1 - weight
    high *= weight
    low += high
    return low
