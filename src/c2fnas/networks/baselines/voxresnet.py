"""VoxResNet: Chen et al., VoxResNet: Deep Voxelwise Residual Networks for Brain Segmentation from 3D MR Images,
NeuroImage 170, 2018."""

from torch import nn

from c2fnas.networks.baselines.parts import Deconvolution, scaled
from c2fnas.networks.blocks import Features, initialise


class VoxResNet(nn.Module):
    """Four scales of 64 filters (32 at full resolution), with two pre-activated residual modules on each lower one.

    Every scale is brought to full resolution by one transposed convolution, which overlaps by two voxels (kernels 3, 4,
    6, 10 at strides 1, 2, 4, 8), and classified by a 3×3×3 convolution; the logits are the sum of the four. The paper's
    auxiliary losses on each of them are left out: one loss for every network here.

    ``[batch, in_channels, i, j, k] -> [batch, classes, i, j, k]``, each side a multiple of 8.

    >>> import torch
    >>> VoxResNet(in_channels=1, classes=3, width=1 / 16)(torch.zeros(2, 1, 16, 8, 24)).shape
    torch.Size([2, 3, 16, 8, 24])
    """

    def __init__(self, *, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        first, wide = scaled(32, width), scaled(64, width)
        self.first = nn.Sequential(
            nn.Conv3d(in_channels, first, 3, padding=1, bias=False),
            *activated(first),
            nn.Conv3d(first, first, 3, padding=1, bias=False),
        )
        self.scales = nn.ModuleList(
            nn.Sequential(
                *activated(filters),
                nn.Conv3d(filters, wide, 3, stride=2, padding=1, bias=False),
                VoxRes(wide),
                VoxRes(wide),
            )
            for filters in (first, wide, wide)
        )
        self.enlarge = nn.ModuleList(
            Deconvolution(filters, filters, kernel, stride)
            for filters, kernel, stride in ((first, 3, 1), (wide, 4, 2), (wide, 6, 4), (wide, 10, 8))
        )
        self.classify = nn.ModuleList(nn.Conv3d(filters, classes, 3, padding=1) for filters in (first, *[wide] * 3))
        initialise(self)

    def forward(self, x: Features) -> Features:
        """Return the logits of ``x``."""
        features = [self.first(x)]
        for scale in self.scales:
            features.append(scale(features[-1]))
        logits = [
            classify(enlarge(each))
            for each, enlarge, classify in zip(features, self.enlarge, self.classify, strict=True)
        ]
        return logits[0] + logits[1] + logits[2] + logits[3]


class VoxRes(nn.Module):
    """Norm, ReLU and 3×3×3 convolution, twice, around which the input is added."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *activated(filters),
            nn.Conv3d(filters, filters, 3, padding=1, bias=False),
            *activated(filters),
            nn.Conv3d(filters, filters, 3, padding=1, bias=False),
        )

    def forward(self, x: Features) -> Features:
        """Return the features, of the shape of ``x``."""
        return x + self.residual(x)


def activated(filters: int) -> tuple[nn.Module, nn.Module]:
    """Norm and ReLU, before a convolution; not in place, since the sum needs the input."""
    return nn.InstanceNorm3d(filters, affine=True), nn.ReLU()
