"""The two ends of every network (paper 4.1)."""

from collections.abc import Sequence

import torch
from torch import nn

from c2fnas.networks.blocks import ConvBlock, Features, concatenate, interpolate
from c2fnas.networks.upsampled import convolve_upsampled


class StemIn(nn.Sequential):
    """Two 3×3×3 convolutions with strides 1 and 2: to level 0, half the resolution."""

    def __init__(self, in_channels: int, filters: tuple[int, int]) -> None:
        full, half = filters
        super().__init__(ConvBlock(in_channels, full, (3, 3, 3)), ConvBlock(full, half, (3, 3, 3), stride=2))


class StemOut(nn.Module):
    """3×3×3 convolution, trilinear up-sampling to the input's size, 3×3×3 convolution to the classes.

    The input is the last cell's output, concatenated with the previous cell's where that is at level 0 too.
    """

    def __init__(self, inputs: int, filters: int, classes: int) -> None:
        super().__init__()
        self.conv = ConvBlock(inputs, filters, (3, 3, 3))
        self.classify = nn.Conv3d(filters, classes, (3, 3, 3), padding=1)

    def forward(self, outputs: Sequence[Features], size: Sequence[int]) -> Features:
        """Return logits of ``size`` (i, j, k) from the last outputs."""
        features = self.conv(concatenate(outputs))
        if composed(features, size):
            return convolve_upsampled(features, self.classify.weight, self.classify.bias)
        if one_by_one(features, size):
            return self._apart(features, size)
        return self.classify(interpolate(features, size))

    def _apart(self, features: Features, size: Sequence[int]) -> Features:
        """The same, one sample after the other."""
        first = self.classify(interpolate(features[:1], size))
        logits = first.new_empty((len(features), *first.shape[1:]))
        logits[:1] = first
        for index in range(1, len(features)):
            logits[index : index + 1] = self.classify(interpolate(features[index : index + 1], size))
        return logits


def composed(features: Features, size: Sequence[int]) -> bool:
    """True if up-sampling and classification are computed as one: where every side doubles, and nothing is traced.

    An exported network keeps the plain form, and so does one on the meta device, whose convolutions are counted.
    """
    if features.is_meta or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    sides = features.shape[2:]
    return min(sides) > 1 and all(fine == 2 * side for fine, side in zip(size, sides, strict=True))


FAST_ALONE = 20_480
"""Filters times the first two sides, from which PyTorch convolves a single sample on its fast path on a CPU."""


def one_by_one(features: Features, size: Sequence[int]) -> bool:
    """True if samples pass the full resolution one by one: on a CPU, in inference, where this costs no time.

    A batch then takes little more memory at its peak than a single sample.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    alone = features.shape[1] * size[0] * size[1]
    return features.device.type == "cpu" and len(features) > 1 and alone > FAST_ALONE
