"""Convolutions of a single sample on a CPU, by the kernels that PyTorch keeps for batches, in slabs of planes."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

SLAB_VALUES = 2**21
"""Numbers of a slab with its filters as oneDNN stores them: it copies input and output into a layout of its own."""

FILTERS = 16
"""Filters that oneDNN stores together; fewer are filled up."""


class SingleSample(TorchFunctionMode):
    """A context in which 3D convolutions of a single float32 sample are fast, and take little memory.

    PyTorch gives a single sample of a small layer to a kernel that writes every patch of the input side by side, which
    takes up to 27 times the layer's memory and twice the time, and all others to oneDNN. Here oneDNN has them all.
    """

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call ``func``, unless it is a convolution that has a faster form."""
        if func is torch.conv3d and not kwargs and _applies(*args):
            return _convolve(*args)
        return func(*args, **(kwargs or {}))


def _applies(x: Tensor, weight: Tensor, *options: Any) -> bool:
    if x.device.type != "cpu" or not x.dtype == weight.dtype == torch.float32 or _named(options):
        return False
    return len(x) == 1 and max(weight.shape[2:]) > 1 and torch.backends.mkldnn.is_available()


def _named(options: tuple[Any, ...]) -> bool:
    """True if the padding is a word."""
    return any(isinstance(each, str) for each in options)


def _convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] | int = 1,
    padding: Sequence[int] | int = 0,
    dilation: Sequence[int] | int = 1,
    groups: int = 1,
) -> Tensor:
    """``conv3d`` with the same arguments, in slabs along the first axis where it is large."""
    step, pad, apart = ([each] * 3 if isinstance(each, int) else [*each] for each in (stride, padding, dilation))

    def convolved(part: Tensor, first: int) -> Tensor:
        padding = [first, *pad[1:]]
        return torch.ops.aten.mkldnn_convolution(part, weight, bias, padding, step, apart, groups)

    reach = apart[0] * (weight.shape[2] - 1) + 1
    planes = (x.shape[2] + 2 * pad[0] - reach) // step[0] + 1
    stored = sum(-(-filters // FILTERS) * FILTERS for filters in (x.shape[1] * step[0], weight.shape[0]))
    slab = max(1, SLAB_VALUES // (stored * prod(x.shape[3:])))
    if slab >= planes:
        return convolved(x, pad[0])
    out = None
    for start in range(0, planes, slab):
        stop = min(planes, start + slab)
        low, high = start * step[0] - pad[0], (stop - 1) * step[0] - pad[0] + reach
        part = x[:, :, max(0, low) : high]
        missing = max(0, -low), max(0, high - x.shape[2])
        result = convolved(functional.pad(part, (0, 0, 0, 0, *missing)) if any(missing) else part, 0)
        if out is None:
            last = result.is_contiguous(memory_format=torch.channels_last_3d)
            layout = torch.channels_last_3d if last else torch.contiguous_format
            out = torch.empty((1, len(weight), planes, *result.shape[3:]), memory_format=layout)
        out[:, :, start:stop] = result
    assert out is not None
    return out
