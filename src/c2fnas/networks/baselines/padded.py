"""A network that takes multiples of its stride alone, on inputs of any size."""

from torch import nn

from c2fnas.networks.blocks import Features, crop_end, pad_end
from c2fnas.shapes import Size


class Padded(nn.Module):
    """``network`` on inputs of any size: padded with zeros at the end of each axis, the logits cropped back.

    Zero is the mean of a standardised image. Every side becomes the next multiple of ``stride``, which is one voxel of
    the lowest level. Where that leaves a single voxel there, on which instance normalisation fails, it is two on each
    axis. A size that is a multiple already stays as it is.
    """

    def __init__(self, network: nn.Module, stride: Size) -> None:
        super().__init__()
        self.network, self.stride = network, stride

    def forward(self, x: Features) -> Features:
        """Return the logits of ``x``, of its size."""
        i, j, k = x.shape[2:]
        wanted = padded_size((i, j, k), self.stride)
        if wanted != (i, j, k):
            x = pad_end(x, wanted)
        return crop_end(self.network(x), (i, j, k))


def padded_size(size: Size, stride: Size) -> Size:
    """Return the size to which an input of ``size`` is padded for a network of ``stride``.

    >>> padded_size((40, 56, 33), (16,) * 3), padded_size((9, 16, 2), (16,) * 3), padded_size((9, 8, 7), (8, 4, 1))
    ((48, 64, 48), (32, 32, 32), (16, 8, 7))
    """
    i, j, k = (-(-side // each) * each for side, each in zip(size, stride, strict=True))
    return (i, j, k) if (i, j, k) != stride else (2 * i, 2 * j, 2 * k)
