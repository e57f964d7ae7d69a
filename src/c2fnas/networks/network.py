"""A candidate as a plain network 𝒩(s, c, w) (paper 3.2)."""

from c2fnas.networks.blocks import Features
from c2fnas.networks.trunk import Trunk
from c2fnas.space.architecture import Architecture


class SegmentationNetwork(Trunk):
    """The network of an architecture.

    ``[batch, in_channels, i, j, k] -> [batch, classes, i, j, k]`` logits, for any spatial size from 1×1×1. Sizes that
    are no multiple of 16 pass through as they are; one whose lowest level would be a single voxel, where instance
    normalisation fails, is padded and cropped back.
    """

    def __init__(self, architecture: Architecture, *, in_channels: int, classes: int) -> None:
        super().__init__(
            architecture.topology,
            [[operation] for operation in architecture.operations],
            width=architecture.width,
            in_channels=in_channels,
            classes=classes,
        )
        self.architecture = architecture

    def forward(self, x: Features) -> Features:
        """The logits of ``x``."""
        return self.walk(x, self.architecture.operations)


def build_network(architecture: Architecture, *, in_channels: int, classes: int) -> SegmentationNetwork:
    """Build the network of ``architecture``; ``classes`` counts the background.

    >>> import torch
    >>> architecture = Architecture.from_text("0:3D 1:P3D 0:2D @0.125")
    >>> build_network(architecture, in_channels=1, classes=3)(torch.zeros(2, 1, 9, 12, 8)).shape
    torch.Size([2, 3, 9, 12, 8])
    """
    return SegmentationNetwork(architecture, in_channels=in_channels, classes=classes)
