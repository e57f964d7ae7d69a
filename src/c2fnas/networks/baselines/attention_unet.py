"""Attention U-Net: Oktay et al., Attention U-Net: Learning Where to Look for the Pancreas, MIDL 2018.

The three-dimensional form of the PyTorch rewrite that most comparisons use; its cost agrees with the one printed in the
C2FNAS paper. MONAI's has transposed convolutions and is smaller.
"""

from itertools import pairwise

import torch
from torch import nn

from c2fnas.networks.baselines.parts import convolutions, encode, scaled
from c2fnas.networks.blocks import ConvBlock, Features, initialise, interpolate


class AttentionUNet(nn.Module):
    """Five levels of 64 … 1024 filters, two 3×3×3 convolutions each, 2×2×2 max-pooling between them.

    The way up: trilinear interpolation and a 3×3×3 convolution that halves the filters; the encoder's features,
    gated by those from below, are concatenated; two convolutions.

    ``[batch, in_channels, i, j, k] -> [batch, classes, i, j, k]``, each side a multiple of 16.

    >>> AttentionUNet(in_channels=1, classes=3, width=1 / 32)(torch.zeros(2, 1, 32, 16, 16)).shape
    torch.Size([2, 3, 32, 16, 16])
    """

    def __init__(self, *, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        levels = [scaled(64 << level, width) for level in range(5)]
        self.down = nn.ModuleList([convolutions(in_channels, levels[0], levels[0])])
        self.down.extend(convolutions(above, level, level) for above, level in pairwise(levels))
        self.pool = nn.MaxPool3d(2)
        upward = levels[-2::-1]
        self.halve = nn.ModuleList(ConvBlock(below, level, (3, 3, 3)) for below, level in pairwise(levels[::-1]))
        self.gates = nn.ModuleList(Gate(level, max(1, level // 2)) for level in upward)
        self.up = nn.ModuleList(convolutions(2 * level, level, level) for level in upward)
        self.classify = nn.Conv3d(levels[0], classes, 1)
        initialise(self)

    def forward(self, x: Features) -> Features:
        """Return the logits of ``x``."""
        *features, x = encode(x, self.down, self.pool)
        for halve, gate, convolve in zip(self.halve, self.gates, self.up, strict=True):
            skip = features.pop()
            x = halve(interpolate(x, skip.shape[2:]))
            x = convolve(torch.cat((gate(skip, x), x), dim=1))
        return self.classify(x)


class Gate(nn.Module):
    """Additive attention: a weight in (0, 1) for every voxel of a skip, from it and from the gating features."""

    def __init__(self, filters: int, between: int) -> None:
        super().__init__()
        self.of_skip = _projection(filters, between)
        self.of_gating = _projection(filters, between)
        self.weigh = nn.Sequential(nn.ReLU(), *_projection(between, 1), nn.Sigmoid())

    def forward(self, skip: Features, gating: Features) -> Features:
        """Return ``skip`` weighted; both inputs have one shape."""
        return skip * self.weigh(self.of_skip(skip) + self.of_gating(gating))


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(inputs, outputs, 1, bias=False), nn.InstanceNorm3d(outputs, affine=True))
