"""Resampling between voxel grids whose outer corners coincide, as nnU-Net and scikit-image's ``resize`` align them.

Voxel ``o`` of ``m`` lies at ``(o + 1/2) n/m - 1/2`` of ``n``. Images go by third-order splines, as one dense matrix an
axis; scores and labels go by linear interpolation, one class at a time in slabs with a running argmax, so that memory
stays bounded whatever the number of classes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from c2fnas.data.scheme import best_class
from c2fnas.shapes import Size

Planes = Callable[[int, int, int], Tensor | None]
"""``(class, first, last + 1)`` to the scores of those planes, float32 ``[planes, j, k]``; None where all are zero."""

Decode = Callable[[Iterable[Tensor | None]], np.ndarray]
"""From the scores of each output, in order, to labels, uint8."""

SLAB_VOXELS = 1 << 20
SPLINE_ORDER = 3

NEGLIGIBLE = 1e-10
"""Weights of a spline fall off without end: smaller ones would become denormal numbers, thirty times slower."""


def resample_image(
    array: np.ndarray, shape: Size, nearest_axis: int | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """Resample ``[i, j, k]`` float32 to ``shape`` by third-order splines, edges repeated.

    Equal, but for rounding, to ``scipy.ndimage.zoom(order=3, mode="nearest", grid_mode=True)`` and many times faster.
    Memory besides ``array`` and ``out`` is one array, resampled along i alone or along j and k, whichever is smaller.

    Args:
        array: the image; any strides.
        shape: voxels of the result.
        nearest_axis: the axis that is resampled by nearest neighbour (thick slices), if any.
        out: where the result goes, contiguous; a memory map, say.
    """
    out = np.empty(shape, dtype=np.float32) if out is None else out
    first, second, third = (
        _matrix(n, m, 0 if axis == nearest_axis else SPLINE_ORDER)
        for axis, (n, m) in enumerate(zip(array.shape, shape, strict=True))
    )
    if array.shape == out.shape:
        out[...] = array
    elif first is None:
        _resample_planes(array, second, third, out)
    elif shape[0] * array[0].size <= array.shape[0] * out[0].size:  # the smaller of the two arrays in between
        between = np.empty((shape[0], *array.shape[1:]), dtype=np.float32)
        _resample_first(array, first, between)
        _resample_planes(between, second, third, out)
    else:
        between = np.empty((array.shape[0], *shape[1:]), dtype=np.float32)
        _resample_planes(array, second, third, between)
        _resample_first(between, first, out)
    return out


def _resample_first(array: np.ndarray, first: np.ndarray, out: np.ndarray) -> None:
    """Resample the axis i of ``array`` into ``out``, some rows of j at a time."""
    step = max(1, SLAB_VOXELS // (4 * max(len(array), len(out)) * array.shape[2]))
    for start in range(0, array.shape[1], step):
        rows = slice(start, start + step)
        columns = np.ascontiguousarray(array[:, rows]).reshape(len(array), -1)
        out[:, rows] = (first @ columns).reshape(out[:, rows].shape)


def _resample_planes(array: np.ndarray, second: np.ndarray | None, third: np.ndarray | None, out: np.ndarray) -> None:
    """Resample the axes j and k of ``array`` into ``out``, some planes at a time through the same two buffers."""
    largest = max(array[0].size, array.shape[1] * out.shape[2], out[0].size)
    planes = min(len(array), max(1, SLAB_VOXELS // largest))
    straight = np.empty((planes, *array.shape[1:]), dtype=np.float32)  # strides as BLAS takes them
    halfway = straight if third is None else np.empty((planes, array.shape[1], out.shape[2]), dtype=np.float32)
    for start in range(0, len(array), planes):
        count = min(planes, len(array) - start)
        straight[:count] = array[start : start + count]
        if third is not None:
            np.matmul(straight[:count], third.T, out=halfway[:count])
        if second is None:
            out[start : start + count] = halfway[:count]
        else:
            np.matmul(second, halfway[:count], out=out[start : start + count])


@lru_cache(maxsize=256)
def _matrix(source: int, target: int, order: int) -> np.ndarray | None:
    """One axis as a float32 matrix ``[target, source]``, spline filter included; None for the identity."""
    if source == target:
        return None
    rows = [
        ndimage.zoom(unit, target / source, order=order, mode="nearest", grid_mode=True, output=np.float64)
        for unit in np.eye(source)
    ]
    matrix = np.stack(rows, axis=1)
    matrix[np.abs(matrix) < NEGLIGIBLE] = 0
    return np.ascontiguousarray(matrix.astype(np.float32))


@dataclass(frozen=True)
class Taps:
    """Linear interpolation along an axis: the two source voxels of every target voxel, and the weight of the second.

    Taps of the same sizes are one object, which keeps what it has on a device, and its slabs.
    """

    low: np.ndarray
    high: np.ndarray
    weight: np.ndarray
    _on: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict, repr=False, compare=False)
    _slabs: dict[tuple[int, int], "Slab"] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    @lru_cache(maxsize=64)
    def linear(cls, source: int, target: int) -> "Taps":
        """Between ``source`` and ``target`` voxels with coinciding outer corners; edges repeated."""
        position = ((np.arange(target) + 0.5) * (source / target) - 0.5).clip(0, source - 1)
        low = position.astype(np.int64)
        return cls(low, np.minimum(low + 1, source - 1), (position - low).astype(np.float32))

    @classmethod
    @lru_cache(maxsize=64)
    def nearest(cls, source: int, target: int) -> "Taps":
        """The source voxel that a target voxel's centre lies in."""
        index = np.minimum(((np.arange(target) + 0.5) * (source / target)).astype(np.int64), source - 1)
        return cls(index, index, np.zeros(target, dtype=np.float32))

    def slab(self, start: int, stop: int) -> tuple["Taps", int, int]:
        """The taps of target voxels ``start`` to ``stop``, and the range of source voxels that they now count from."""
        if (start, stop) not in self._slabs:
            low, high = self.low[start:stop], self.high[start:stop]
            first, last = int(low.min()), int(high.max()) + 1
            self._slabs[start, stop] = Taps(low - first, high - first, self.weight[start:stop]), first, last
        return self._slabs[start, stop]

    def on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Return low, high and weight as tensors on ``device``, where they stay."""
        if device not in self._on:
            with torch.inference_mode():  # as they are used: nothing that they interpolate has gradients
                low, high, weight = (torch.from_numpy(each).to(device) for each in (self.low, self.high, self.weight))
            self._on[device] = low, high, weight
        return self._on[device]

    @cached_property
    def identical(self) -> bool:
        """True if every target voxel is the source voxel of the same index."""
        return not self.weight.any() and bool((self.low == np.arange(len(self.low))).all())

    def apply(self, values: Tensor, axis: int) -> Tensor:
        """Interpolate ``values`` along ``axis``: always the same sum of two products, in whatever slab a voxel lies."""
        if self.identical and values.shape[axis] == len(self.low):
            return values
        first, second, weight = self.on(values.device)
        weight = weight.view([-1 if each == axis else 1 for each in range(3)])
        low, high = values.index_select(axis, first), values.index_select(axis, second)
        return low.mul_(1 - weight).add_(high.mul_(weight))


Slab = tuple[Taps, int, int]
"""Taps of some target voxels, and the range of source voxels that they count from."""


def argmax_resampled(
    planes: Planes,
    classes: int,
    source: Size,
    out: np.ndarray,
    nearest_axis: int | None = None,
    decode: Decode = best_class,
) -> np.ndarray:
    """The best class of every voxel of ``out``'s grid, by each class's scores resampled from the grid ``source``.

    Ties go to the lower class, as in ``numpy.argmax``; the result is that of resampling all classes at once, bit
    for bit. Another ``decode`` makes other labels of the scores.
    Memory is a few slabs of :data:`SLAB_VOXELS`.
    """
    target = out.shape
    along_i, along_j, along_k = (
        Taps.nearest(n, m) if axis == nearest_axis else Taps.linear(n, m)
        for axis, (n, m) in enumerate(zip(source, target, strict=True))
    )
    step = max(1, SLAB_VOXELS // max(target[1] * target[2], source[1] * source[2]))
    for start in range(0, target[0], step):
        within, first, last = along_i.slab(start, min(start + step, target[0]))

        def resample(values: Tensor, within: Taps = within) -> Tensor:
            return within.apply(along_j.apply(along_k.apply(values, 2), 1), 0)

        scores = (planes(index, first, last) for index in range(classes))
        out[start : start + step] = decode(None if each is None else resample(each) for each in scores)
    return out


def resample_labels(
    label: np.ndarray, shape: Size, nearest_axis: int | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """Resample class indices ``[i, j, k]`` uint8: each class's mask linearly, one at a time, then the largest share."""
    out = np.empty(shape, dtype=np.uint8) if out is None else out
    if label.shape == shape:
        out[...] = label
        return out

    def mask(index: int, first: int, last: int) -> Tensor | None:
        member = label[first:last] == index
        return torch.from_numpy(np.ascontiguousarray(member, dtype=np.float32)) if member.any() else None

    return argmax_resampled(mask, int(label.max(initial=0)) + 1, label.shape, out, nearest_axis)
