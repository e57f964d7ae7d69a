"""Any input size for a network that takes multiples of its stride alone."""

from torch import nn
from torch.nn import functional

from c2fnas.networks.blocks import Features


class Padded(nn.Module):
    """``network`` on inputs of any size: padded with zeros at the end of each axis, the logits cropped back.

    Zero is the mean of a standardised image. Every side becomes the next multiple of ``stride``, the side of a voxel of
    the lowest level; where that leaves a single voxel there, on which instance normalisation fails, two on each axis.
    A size that is a multiple already passes through untouched.
    """

    def __init__(self, network: nn.Module, stride: int) -> None:
        super().__init__()
        self.network, self.stride = network, stride

    def forward(self, x: Features) -> Features:
        """The logits of ``x``, of its size."""
        sizes = x.shape[2:]
        wanted = padded_size((sizes[0], sizes[1], sizes[2]), self.stride)
        if wanted != tuple(sizes):
            # functional.pad takes the last axis first
            missing = [want - have for have, want in zip(sizes, wanted, strict=True)]
            x = functional.pad(x, [amount for each in reversed(missing) for amount in (0, each)])
        return self.network(x)[(..., *(slice(0, size) for size in sizes))]


def padded_size(size: tuple[int, int, int], stride: int) -> tuple[int, int, int]:
    """What a network of this stride is given for an input of ``size``.

    >>> padded_size((40, 56, 33), 16), padded_size((9, 16, 2), 16)
    ((48, 64, 48), (32, 32, 32))
    """
    i, j, k = (-(-side // stride) * stride for side in size)
    return (i, j, k) if (i, j, k) != (stride, stride, stride) else (2 * stride, 2 * stride, 2 * stride)
