"""V-Net: Milletari et al., V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation, 2016.

MONAI's has a 5×5×5 convolution to the classes, the paper a 1×1×1; the rest is the same.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from c2fnas.networks.baselines.parts import scaled
from c2fnas.networks.blocks import Features, initialise


class VNet(nn.Module):
    """Residual stages of one to three 5×5×5 convolutions with PReLU, five levels of 16 … 256 filters.

    2×2×2 convolutions of stride 2 lead down and double the filters, transposed ones lead up; the encoder's features are
    concatenated. The input, repeated to 16 filters, is the first stage's residual. Instance normalisation, which the
    paper does without, follows every convolution of a stage.

    ``[batch, in_channels, i, j, k] -> [batch, classes, i, j, k]``, each side a multiple of 16.

    >>> VNet(in_channels=1, classes=3, width=1 / 16)(torch.zeros(2, 1, 32, 16, 16)).shape
    torch.Size([2, 3, 32, 16, 16])
    """

    def __init__(self, *, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        levels = [scaled(16 << level, width) for level in range(5)]
        self.first = Stage(in_channels, levels[0], 1)
        self.shrink = nn.ModuleList(
            _normed(nn.Conv3d(above, level, 2, 2, bias=False)) for above, level in pairwise(levels)
        )
        self.down = nn.ModuleList(
            Stage(level, level, depth) for level, depth in zip(levels[1:], (1, 2, 3, 2), strict=True)
        )
        wide = [2 * level for level in levels[:-1]]  # half from below, half from the encoder
        below = [*wide[1:], levels[-1]]
        self.enlarge = nn.ModuleList(
            _normed(nn.ConvTranspose3d(inputs, level, 2, 2, bias=False))
            for inputs, level in zip(below[::-1], levels[-2::-1], strict=True)
        )
        self.up = nn.ModuleList(Stage(each, each, depth) for each, depth in zip(wide[::-1], (2, 2, 1, 1), strict=True))
        self.classify = nn.Conv3d(wide[0], classes, 1)
        initialise(self)

    def forward(self, x: Features) -> Features:
        """Return the logits of ``x``."""
        features = [self.first(x)]
        for shrink, stage in zip(self.shrink, self.down, strict=True):
            features.append(stage(shrink(features[-1])))
        x = features.pop()
        for enlarge, stage in zip(self.enlarge, self.up, strict=True):
            x = stage(torch.cat((enlarge(x), features.pop()), dim=1))
        return self.classify(x)


class Stage(nn.Module):
    """``depth`` 5×5×5 convolutions, around which the input is added; it is repeated where it has fewer filters."""

    def __init__(self, inputs: int, filters: int, depth: int) -> None:
        super().__init__()
        sizes = [inputs, *[filters] * depth]
        self.convolutions = nn.ModuleList(
            nn.Sequential(nn.Conv3d(a, b, 5, padding=2, bias=False), nn.InstanceNorm3d(b, affine=True))
            for a, b in pairwise(sizes)
        )
        self.activations = nn.ModuleList(nn.PReLU(filters) for _ in range(depth))
        self.filters = filters

    def forward(self, x: Features) -> Features:
        """Return the features after the stage; the last activation follows the sum."""
        residual = _repeated(x, self.filters)
        for convolve, activate in zip(self.convolutions[:-1], self.activations[:-1], strict=True):
            x = activate(convolve(x))
        return self.activations[-1](self.convolutions[-1](x) + residual)


def _normed(convolution: nn.Conv3d | nn.ConvTranspose3d) -> nn.Sequential:
    filters = convolution.out_channels
    return nn.Sequential(convolution, nn.InstanceNorm3d(filters, affine=True), nn.PReLU(filters))


def _repeated(x: Tensor, filters: int) -> Tensor:
    """The channels of ``x`` in turn, until there are ``filters`` of them."""
    times = -(-filters // x.shape[1])
    return x.repeat(1, times, 1, 1, 1)[:, :filters]
