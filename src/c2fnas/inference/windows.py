"""Where the windows of a volume lie and how they are weighted: integers in, integers out, the same as MONAI's."""

from functools import lru_cache
from itertools import product
from math import prod
from typing import Literal

from torch import Tensor

from c2fnas.shapes import Size

Weighting = Literal["gaussian", "constant"]

GPU_VOXELS = 4 * 96**3
"""Voxels of the windows that a GPU is given at a time; a few small windows would leave it idle."""


def axis_starts(size: int, patch: int, stride: int) -> tuple[int, ...]:
    """First voxels of the windows along one axis; the last window is shifted back to the border.

    >>> axis_starts(100, patch=48, stride=32)
    (0, 32, 52)
    >>> axis_starts(20, patch=48, stride=32)  # smaller than the patch: one window on the padded volume
    (0,)
    """
    last = max(0, size - patch)
    return (*range(0, last, stride), last)


def window_starts(shape: Size, patch: Size, stride: Size) -> tuple[Size, ...]:
    """First voxels of all windows of a volume padded to at least the patch; the first axis varies slowest."""
    axes = (axis_starts(*axis) for axis in zip(shape, patch, stride, strict=True))
    return tuple(product(*axes))  # type: ignore[arg-type]


def padding_before(shape: Size, patch: Size) -> Size:
    """Voxels of zeros before each axis that bring a small volume up to the patch; the odd one comes after."""
    i, j, k = (max(0, side - size) // 2 for size, side in zip(shape, patch, strict=True))
    return i, j, k


def windows_at_a_time(patch: Size, device: str) -> int:
    """How many windows a device should get at once: two on a CPU; as many small ones as keep a GPU busy.

    >>> windows_at_a_time((96, 96, 96), "cpu"), windows_at_a_time((96, 96, 96), "cuda:0")
    (2, 4)
    """
    return max(2, min(64, GPU_VOXELS // prod(patch))) if device.startswith("cuda") else 2


@lru_cache(maxsize=8)
def importance(patch: Size, weighting: Weighting) -> Tensor:
    """The weight of every voxel of a window, float32 ``[*patch]``: MONAI's Gaussian (σ an eighth of a side) or ones."""
    from monai.data.utils import compute_importance_map

    return compute_importance_map(patch, mode=weighting, sigma_scale=0.125)
