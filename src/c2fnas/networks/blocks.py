"""The convolution block of all networks, and the two ways to change resolution (paper 4.1)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from c2fnas.networks.channels_last import CHANNELS_LAST, Convolution, NormReLU, eager_on_cpu
from c2fnas.shapes import Size

Kernel = tuple[int, int, int]
Features = Float[Tensor, "batch filters i j k"]


class ConvBlock(nn.Sequential):
    """Convolution without bias, which the norm would undo, affine instance normalisation, ReLU; the size stays."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel = (1, 1, 1), stride: int = 1) -> None:
        i, j, k = kernel
        super().__init__(
            Convolution(inputs, outputs, kernel, stride=stride, padding=(i // 2, j // 2, k // 2), bias=False),
            NormReLU(outputs),
        )


class DownSampling(ConvBlock):
    """A 3×3×3 convolution with stride 2 that doubles the filters; a size n becomes ⌈n/2⌉."""

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs, 2 * inputs, (3, 3, 3), stride=2)


class UpSampling(nn.Module):
    """Trilinear interpolation to the size of the level above, then a 1×1×1 convolution that halves the filters."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv = ConvBlock(inputs, inputs // 2)

    def forward(self, x: Features, size: Sequence[int]) -> Features:
        """Return ``x`` interpolated to ``size`` (i, j, k), with half the filters.

        A 1×1×1 convolution and an interpolation may change places, since both are linear and work on other axes. Before
        it, the convolution has an eighth of the work. The paper's order stays where multiply-accumulates are counted.
        """
        if x.is_meta:
            return self.conv(interpolate(x, size))
        convolution, norm_relu = self.conv
        return norm_relu(interpolate(convolution(x), size))


def interpolate(x: Features, size: Sequence[int]) -> Features:
    """Interpolate trilinearly to ``size``; corners are not aligned, as with a scale factor of 2.

    On a CPU input and output are channels last. PyTorch's kernels for it are several times faster, forward and
    backward, and the convolution that follows accepts it (docs/decisions/0017).
    """
    if eager_on_cpu(x):
        x = x.to(memory_format=CHANNELS_LAST)
    return functional.interpolate(x, size=tuple(size), mode="trilinear", align_corners=False)


def pad_end(x: Features, size: Size) -> Features:
    """Pad with zeros at the end of each axis, to ``size`` (i, j, k)."""
    missing = [want - have for have, want in zip(x.shape[2:], size, strict=True)]
    return functional.pad(x, [amount for each in reversed(missing) for amount in (0, each)])  # the last axis first


def crop_end(x: Features, size: Size) -> Features:
    """Crop at the end of each axis, to ``size`` (i, j, k)."""
    i, j, k = size
    return x[..., :i, :j, :k]


def initialise(module: nn.Module) -> None:
    """Initialise convolutions after He for ReLU (fan-in); norms start as the identity, biases at zero."""
    for part in module.modules():
        if isinstance(part, nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def concatenate(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate along the filters; a single part is returned as it is."""
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts), dim=1)
