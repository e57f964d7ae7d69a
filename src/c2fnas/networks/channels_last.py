"""Convolution, and normalisation with ReLU, computed on a CPU channels last (docs/decisions/0095).

The modules are PyTorch's own and compute the same functions. On any other device, and where a network is traced or
compiled, they are PyTorch's own code too.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS_LAST = torch.channels_last_3d


def eager_on_cpu(x: Tensor) -> bool:
    """True if ``x`` is computed with on a CPU, and not traced or compiled for export."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling() and not torch.jit.is_tracing()


class Convolution(nn.Conv3d):
    """A 3D convolution; on a CPU one of 1×1×1 is a matrix product, and one of 1×1×n is two-dimensional."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved ``x``, on a CPU channels last."""
        if not eager_on_cpu(x):
            return super().forward(x)
        x, (i, j, k) = x.to(memory_format=CHANNELS_LAST), self.kernel_size
        if (i, j) != (1, 1) or self.stride != (1, 1, 1) or x.shape[-1] < k:
            return super().forward(x)
        rows = x.movedim(1, -1)  # [b, i, j, k, c], as it lies in memory
        if k == 1:
            return functional.linear(rows, self.weight.flatten(1), self.bias).movedim(-1, 1)
        planes = rows.flatten(0, 1).movedim(-1, 1)
        out = functional.conv2d(planes, self.weight.squeeze(2), self.bias, padding=self.padding[1:])
        return out.movedim(1, -1).unflatten(0, rows.shape[:2]).movedim(-1, 1)


class NormReLU(nn.InstanceNorm3d):
    """Affine instance normalisation, then ReLU."""

    def __init__(self, filters: int) -> None:
        super().__init__(filters, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised and rectified ``x``, on a CPU channels last."""
        if not eager_on_cpu(x) or x[0, 0].numel() == 1:  # which PyTorch refuses
            return functional.relu_(super().forward(x))
        return _NormReLU.apply(x.contiguous(memory_format=CHANNELS_LAST), self.weight, self.bias, self.eps)


class _NormReLU(torch.autograd.Function):
    """PyTorch's kernels of batch normalisation on one sample at a time, which are fast channels last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        y = torch.empty_like(x)
        mean, scale = weight.new_empty(2, *x.shape[:2])
        for sample, out, *moments in zip(x.split(1), y.split(1), mean, scale, strict=True):
            torch.native_batch_norm(sample, weight, bias, None, None, True, 0, eps, out=(out, *moments))
        ctx.save_for_backward(x, y.relu_(), weight, mean, scale)
        ctx.eps = eps
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight, mean, scale = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradients[0].contiguous(memory_format=CHANNELS_LAST), y, 0)
        sums = []
        for out, sample, *moments in zip(gradient.split(1), x.split(1), mean, scale, strict=True):
            own, *of_affine = torch.ops.aten.native_batch_norm_backward(
                out, sample, weight, None, None, *moments, True, ctx.eps, [True, True, True]
            )
            out.copy_(own)
            sums.append(of_affine)
        of_weight, of_bias = (torch.stack(each).sum(0) for each in zip(*sums, strict=True))
        return gradient, of_weight, of_bias, None
