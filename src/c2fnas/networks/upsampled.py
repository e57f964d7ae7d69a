"""A 3×3×3 convolution of a volume up-sampled by 2, computed at half the resolution: the same numbers to rounding.

Trilinear interpolation by 2 makes every value of the fine grid a fixed mean of its neighbours on the coarse one, and a
convolution after it is linear too. So the two together are a convolution on the coarse grid with eight outputs for each
class, one for every place in a 2×2×2 block. It has as many multiply-accumulates, an eighth of the memory, and outputs
wide enough for a processor's matrix units. Outer voxels see the interpolation's clamped border and the convolution's
zeros, so each of the 27 regions (first, inner and last along every axis) has a kernel of its own.
"""

from collections.abc import Iterator
from functools import cache
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

FIRST = (((0, 1, 0.75), (0, 0, 0.25)), ((1, 0.75, 0.25), (0, 0.25, 0.75)))
INNER = (((0.75, 0.25, 0), (0.25, 0.75, 0.75), (0, 0, 0.25)), ((0.25, 0, 0), (0.75, 0.75, 0.25), (0, 0.25, 0.75)))
LAST = (((0.75, 0.25, 0), (0.25, 0.75, 1)), ((0.25, 0, 0), (0.75, 1, 0)))
"""Contributions along one axis, for the even and the odd fine voxel of a coarse one.

Rows are coarse voxels, columns are the weights of the fine kernel."""

SLAB_VALUES = 2**21
"""Outputs that are computed at a time on a CPU without gradients."""


def convolve_upsampled(
    x: Float[Tensor, "b c i j k"], weight: Float[Tensor, "o c 3 3 3"], bias: Float[Tensor, " o"] | None = None
) -> Float[Tensor, "b o 2*i 2*j 2*k"]:
    """Return ``conv3d(interpolate(x, scale_factor=2, mode="trilinear"), weight, bias, padding=1)``.

    Every side of ``x`` has at least two voxels.
    """
    with torch.autocast(x.device.type, enabled=False):
        kernels = {kinds: _kernel(weight, kinds) for kinds in product(range(3), repeat=3)}
    wide = None if bias is None else bias.repeat(8)
    if not torch.is_grad_enabled():
        return _written(x, kernels, wide)
    blocks = _joined(x, kernels, wide)
    batch, _, i, j, k = blocks.shape
    # [b, (2, 2, 2, o), i, j, k] to [b, o, 2i, 2j, 2k]
    parts = blocks.view(batch, 2, 2, 2, -1, i, j, k)
    return parts.permute(0, 4, 5, 1, 6, 2, 7, 3).reshape(batch, -1, 2 * i, 2 * j, 2 * k)


def _written(x: Tensor, kernels: dict[tuple[int, ...], Tensor], bias: Tensor | None) -> Tensor:
    """The result without gradients: slab after slab is written to its place, and no other array is as large."""
    batch, _, i, j, k = x.shape
    values = batch * len(kernels[0, 0, 0]) * j * k
    planes = max(1, SLAB_VALUES // values) if x.device.type == "cpu" else i
    out: Tensor | None = None
    for (kind_i, read_i, to_i), (kind_j, read_j, to_j), (kind_k, read_k, to_k) in product(
        _runs(i, planes), _runs(j, j), _runs(k, k)
    ):
        part = functional.conv3d(x[..., read_i, read_j, read_k], kernels[kind_i, kind_j, kind_k], bias)
        part = part.unflatten(1, (2, 2, 2, -1))
        if out is None:
            out = part.new_empty(batch, part.shape[4], i, 2, j, 2, k, 2)
        out[:, :, to_i, :, to_j, :, to_k] = part.permute(0, 4, 5, 1, 6, 2, 7, 3)
    assert out is not None
    return out.view(batch, -1, 2 * i, 2 * j, 2 * k)


def _runs(size: int, most: int) -> Iterator[tuple[int, slice, slice]]:
    """Runs of at most ``most`` coarse voxels along an axis: the kind of region, the voxels read, those written."""
    yield 0, slice(0, 2), slice(0, 1)
    for start in range(1, size - 1, most):
        stop = min(size - 1, start + most)
        yield 1, slice(start - 1, stop + 1), slice(start, stop)
    yield 2, slice(size - 2, size), slice(size - 1, size)


def _joined(x: Tensor, kernels: dict[tuple[int, ...], Tensor], bias: Tensor | None) -> Tensor:
    """The regions' outputs, side by side."""
    rows = []
    for kind_i, slab in _regions(x, 2):
        columns = []
        for kind_j, bar in _regions(slab, 3):
            cells = [
                functional.conv3d(part, kernels[kind_i, kind_j, kind_k], bias) for kind_k, part in _regions(bar, 4)
            ]
            columns.append(torch.cat(cells, dim=4))
        rows.append(torch.cat(columns, dim=3))
    return torch.cat(rows, dim=2)


def _regions(x: Tensor, axis: int) -> Iterator[tuple[int, Tensor]]:
    """The kinds of region along an axis, with the coarse voxels that each one reads.

    An inner region reads all of ``x``, and a slice of it would cost a copy of all gradients.
    """
    size = x.shape[axis]
    yield 0, x.narrow(axis, 0, 2)
    if size > 2:
        yield 1, x
    yield 2, x.narrow(axis, size - 2, 2)


def _kernel(weight: Tensor, kinds: tuple[int, ...]) -> Tensor:
    """The region's kernel: ``[8 · o, c, taps, taps, taps]``."""
    i, j, k = (_matrix(kind, weight.dtype, weight.device) for kind in kinds)
    whole = torch.einsum("ocxyz,pax,qby,rdz->pqrocabd", weight, i, j, k)
    return whole.reshape(-1, *whole.shape[4:])


@cache
def _matrix(kind: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # it is kept, and a tensor of inference can't be trained with
        return torch.tensor((FIRST, INNER, LAST)[kind], dtype=dtype, device=device)
