"""The 3D U-Net between the stem's two ends, as every candidate of the search is (paper 4.1)."""

from torch import nn

from c2fnas.networks.baselines.parts import scaled
from c2fnas.networks.baselines.unet3d import UNet3D
from c2fnas.networks.blocks import Features, initialise
from c2fnas.networks.stem import StemIn, StemOut


class UNet3DStem(nn.Module):
    """A :class:`UNet3D` at half of the resolution: the stem comes before it, up-sampling to the classes after it.

    ``[batch, in_channels, i, j, k] -> [batch, classes, i, j, k]``, each side a multiple of 16.

    >>> import torch
    >>> UNet3DStem(in_channels=1, classes=3, width=1 / 16)(torch.zeros(2, 1, 16, 32, 48)).shape
    torch.Size([2, 3, 16, 32, 48])
    """

    def __init__(self, *, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        full, half = scaled(32, width), scaled(64, width)
        self.stem_in = StemIn(in_channels, (full, half))
        self.body = UNet3D(in_channels=half, classes=classes, width=width)
        self.body.classify = nn.Identity()
        self.stem_out = StemOut(half, half, classes)
        initialise(self)

    def forward(self, x: Features) -> Features:
        """Return the logits of ``x``."""
        return self.stem_out([self.body(self.stem_in(x))], x.shape[2:])
