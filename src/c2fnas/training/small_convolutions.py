"""A way around wrong gradients: on a CPU, bf16 convolutions of inputs smaller than their kernel compute in float32."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class SmallConvolutions(TorchFunctionMode):
    """Context in which ``conv3d`` computes in float32 where an axis of its input is shorter than that of its kernel.

    There, at the lowest level of patches of 32 voxels say, PyTorch 2.13's bf16 gradient of the weights on a CPU is made
    of memory that was never written: not-a-number or, worse, a number (docs/decisions/0013). What is small costs
    nothing.

    >>> x, weight = torch.ones(1, 1, 2, 2, 2), torch.ones(1, 1, 3, 3, 3)
    >>> with torch.autocast("cpu", torch.bfloat16), SmallConvolutions():
    ...     torch.conv3d(x, weight, padding=1).dtype, torch.conv3d(x, weight[..., :1, :1, :1]).dtype
    (torch.float32, torch.bfloat16)
    """

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Every call of torch's passes here."""
        kwargs = kwargs or {}
        if func is not torch.conv3d or not _is_small(args[0], args[1]):
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return func(*map(_float32, args), **{name: _float32(value) for name, value in kwargs.items()})


def _is_small(image: Tensor, weight: Tensor) -> bool:
    return any(side > size for side, size in zip(weight.shape[2:], image.shape[2:], strict=True))


def _float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) else value
