"""Small networks with known answers."""

import torch
from torch import Tensor, nn


class Pointwise(nn.Module):
    """Looks at one voxel alone, so that windows change nothing: logits are fixed linear functions of the image."""

    def __init__(self, channels: int = 1, classes: int = 3) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.linspace(-1, 1, classes * channels).reshape(classes, channels))
        self.offset = nn.Parameter(torch.linspace(0.3, -0.2, classes))

    def forward(self, x: Tensor) -> Tensor:
        """``[b, channels, i, j, k] -> [b, classes, i, j, k]``."""
        return torch.einsum("bcijk,dc->bdijk", x, self.slope) + self.offset[:, None, None, None]


def tiny_network(channels: int = 1, classes: int = 3, seed: int = 0) -> nn.Module:
    """A network that sees its window's borders: convolution, instance norm, convolution."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv3d(channels, 4, 3, padding=1),
        nn.InstanceNorm3d(4, affine=True),
        nn.ReLU(),
        nn.Conv3d(4, classes, 3, padding=1),
    ).eval()
