"""3D U-Net: Çiçek et al., 3D U-Net: Learning Dense Volumetric Segmentation from Sparse Annotation, MICCAI 2016."""

from itertools import pairwise

import torch
from torch import nn

from c2fnas.networks.baselines.parts import Deconvolution, convolutions, encode, scaled
from c2fnas.networks.blocks import Features, initialise


class UNet3D(nn.Module):
    """Four levels of two 3×3×3 convolutions, the second of which doubles the filters; 2×2×2 max-pooling between them.

    The way up: 2×2×2 transposed convolutions that keep their filters, the encoder's features concatenated, two
    convolutions. Padded convolutions, where the paper's lose their border.

    ``[batch, in_channels, i, j, k] -> [batch, classes, i, j, k]``, each side a multiple of 8.

    >>> UNet3D(in_channels=1, classes=3, width=1 / 16)(torch.zeros(2, 1, 16, 8, 24)).shape
    torch.Size([2, 3, 16, 8, 24])
    """

    def __init__(self, *, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        half, *levels = (scaled(32 << level, width) for level in range(5))
        self.down = nn.ModuleList([convolutions(in_channels, half, levels[0])])
        self.down.extend(convolutions(above, above, level) for above, level in pairwise(levels))
        self.pool = nn.MaxPool3d(2)
        upward = levels[::-1]
        self.enlarge = nn.ModuleList(Deconvolution(below, below, 2, 2) for below in upward[:-1])
        self.up = nn.ModuleList(convolutions(below + level, level, level) for below, level in pairwise(upward))
        self.classify: nn.Module = nn.Conv3d(levels[0], classes, 1)
        initialise(self)

    def forward(self, x: Features) -> Features:
        """Return the logits of ``x``."""
        *features, x = encode(x, self.down, self.pool)
        for enlarge, convolve in zip(self.enlarge, self.up, strict=True):
            x = convolve(torch.cat((features.pop(), enlarge(x)), dim=1))
        return self.classify(x)
