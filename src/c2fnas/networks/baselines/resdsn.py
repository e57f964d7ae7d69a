"""ResDSN: Zhu et al., A 3D Coarse-to-Fine Framework for Volumetric Medical Image Segmentation, 3DV 2018."""

from torch import nn

from c2fnas.networks.baselines.parts import Deconvolution, convolutions, encode, scaled
from c2fnas.networks.blocks import ConvBlock, Features, initialise


class ResDSN(nn.Module):
    """Four resolutions of one or two 3×3×3 convolutions, 32 … 256 filters, with 2×2×2 max-pooling between them.

    The way up: a 4×4×4 transposed convolution of stride 2 that keeps its filters, a 3×3×3 convolution that halves them,
    and the encoder's features of that resolution added: the long residual connection. One more convolution at full
    resolution, then the classes. The auxiliary losses are left out: one loss for every network here.

    The paper that compares it prints its cost alone. Decided: of the regular layouts with these parts, the one
    that agrees with it (``docs/decisions/0070-compared-networks.md``).

    ``[batch, in_channels, i, j, k] -> [batch, classes, i, j, k]``, each side a multiple of 8.

    >>> import torch
    >>> ResDSN(in_channels=1, classes=3, width=1 / 16)(torch.zeros(2, 1, 16, 8, 24)).shape
    torch.Size([2, 3, 16, 8, 24])
    """

    def __init__(self, *, in_channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        a, b, c, d = (scaled(32 << level, width) for level in range(4))
        self.down = nn.ModuleList(
            [convolutions(in_channels, a), convolutions(a, b), convolutions(b, c, c), convolutions(c, d, d)]
        )
        self.pool = nn.MaxPool3d(2)
        self.enlarge = nn.ModuleList(Deconvolution(filters, filters, 4, 2) for filters in (d, c, b))
        self.halve = nn.ModuleList(ConvBlock(*each, (3, 3, 3)) for each in ((d, c), (c, b), (b, a)))
        self.last = ConvBlock(a, a, (3, 3, 3))
        self.classify = nn.Conv3d(a, classes, 3, padding=1)
        initialise(self)

    def forward(self, x: Features) -> Features:
        """Return the logits of ``x``."""
        *features, x = encode(x, self.down, self.pool)
        for enlarge, halve in zip(self.enlarge, self.halve, strict=True):
            x = halve(enlarge(x)) + features.pop()
        return self.classify(self.last(x))
