"""The two ends of every network (paper 4.1)."""

from collections.abc import Sequence

from torch import nn

from c2fnas.networks.blocks import ConvBlock, Features, concatenate, interpolate


class StemIn(nn.Sequential):
    """Two 3×3×3 convolutions with strides 1 and 2: to half the resolution, which is level 0."""

    def __init__(self, in_channels: int, filters: tuple[int, int]) -> None:
        full, half = filters
        super().__init__(ConvBlock(in_channels, full, (3, 3, 3)), ConvBlock(full, half, (3, 3, 3), stride=2))


class StemOut(nn.Module):
    """3×3×3 convolution, trilinear up-sampling to the input's size, 3×3×3 convolution to the classes.

    Its input is the last cell's output, concatenated with the previous cell's where that one is at level 0 too.
    """

    def __init__(self, inputs: int, filters: int, classes: int) -> None:
        super().__init__()
        self.conv = ConvBlock(inputs, filters, (3, 3, 3))
        self.classify = nn.Conv3d(filters, classes, (3, 3, 3), padding=1)

    def forward(self, outputs: Sequence[Features], size: Sequence[int]) -> Features:
        """Logits of ``size`` (i, j, k) from the last outputs."""
        return self.classify(interpolate(self.conv(concatenate(outputs)), size))
