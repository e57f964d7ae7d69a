"""Parts that several of the compared networks share."""

from collections.abc import Iterable
from itertools import pairwise

from torch import nn

from c2fnas.networks.blocks import ConvBlock, Features


def scaled(filters: int, width: float, multiple: int = 1) -> int:
    """Return ``filters`` times the width multiplier: the nearest multiple of ``multiple``, at least one.

    >>> scaled(64, 0.25), scaled(16, 0.01), scaled(32, 0.4, 8)
    (16, 1, 16)
    """
    return max(1, round(filters * width / multiple)) * multiple


def convolutions(*filters: int) -> nn.Sequential:
    """Chain 3×3×3 convolutions, each with norm and ReLU, from ``filters[0]`` to each number that follows."""
    return nn.Sequential(*(ConvBlock(inputs, outputs, (3, 3, 3)) for inputs, outputs in pairwise(filters)))


def encode(x: Features, steps: Iterable[nn.Module], pool: nn.Module) -> list[Features]:
    """Return the features after each of ``steps``, with ``pool`` between them: the way down of a U-Net."""
    features: list[Features] = []
    for step in steps:
        features.append(step(pool(features[-1]) if features else x))
    return features


class Deconvolution(nn.Sequential):
    """A transposed convolution that multiplies each side by ``stride``, then instance normalisation and ReLU.

    The kernel is as wide as the stride, or wider by an even number of voxels, so that no voxel is gained or lost.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(
            nn.ConvTranspose3d(inputs, outputs, kernel, stride, padding=(kernel - stride) // 2, bias=False),
            nn.InstanceNorm3d(outputs, affine=True),
            nn.ReLU(inplace=True),
        )
