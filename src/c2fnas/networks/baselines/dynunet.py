"""nnU-Net's plain network: Isensee et al., nnU-Net, Nature Methods 18, 2021; MONAI's form."""

from collections.abc import Sequence

from torch import nn

from c2fnas.networks.baselines.baseline import Level
from c2fnas.networks.baselines.parts import scaled
from c2fnas.shapes import Size, Spacing

MOST_FILTERS = 320  # nnU-Net's limit in three dimensions
SMALLEST_SIDE = 4  # of the lowest level
COARSER = 2  # an axis whose voxels are as many times as long as the shortest waits: no stride, a kernel of 1
LEVELS: tuple[Level, ...] = (((3, 3, 3), (1, 1, 1)), *(((3, 3, 3), (2, 2, 2)),) * 4)


def dynunet(*, in_channels: int, classes: int, width: float = 1.0, levels: Sequence[Level] = LEVELS) -> nn.Module:
    """Build levels of 32, 64, 128, 256, 320 … filters, strided convolutions down, transposed ones up.

    ``[batch, in_channels, i, j, k] -> [batch, classes, i, j, k]``, each side a multiple of the product of strides.
    """
    from monai.networks.nets import DynUNet  # here, since it takes seconds

    kernels, strides = zip(*levels, strict=True)
    return DynUNet(
        spatial_dims=3,
        in_channels=in_channels,
        out_channels=classes,
        kernel_size=kernels,
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=[scaled(min(32 << level, MOST_FILTERS), width) for level in range(len(levels))],
        norm_name=("INSTANCE", {"affine": True}),
    )


def planned_levels(patch: Size, spacing: Spacing) -> tuple[Level, ...]:
    """Return the levels that nnU-Net plans for a patch: its rule for strides and kernels, at full width.

    An axis is halved while it keeps four voxels and its voxels are less than twice as long as the shortest that can
    still be halved; one axis alone is halved while it keeps six. Kernels along an axis are 1 until its voxels are that
    short, and 3 at the lowest level.

    >>> planned_levels((40, 56, 40), (1.0, 1.0, 1.0))[1:] == LEVELS[1:4]
    True
    >>> [stride for _, stride in planned_levels((64, 64, 8), (1.0, 1.0, 8.0))]
    [(1, 1, 1), (2, 2, 1), (2, 2, 1), (2, 2, 1), (2, 2, 2)]
    """
    sides, lengths, kernel = list(patch), list(spacing), (1, 1, 1)
    strides, kernels = [(1, 1, 1)], []
    while axes := _halved(sides, lengths):
        i, j, k = (
            max(each, 3 if own < COARSER * min(lengths) else 1) for each, own in zip(kernel, lengths, strict=True)
        )
        kernel = i, j, k
        kernels.append(kernel)
        i, j, k = (2 if axis in axes else 1 for axis in range(3))
        strides.append((i, j, k))
        sides = [-(-side // stride) for side, stride in zip(sides, strides[-1], strict=True)]
        lengths = [length * stride for length, stride in zip(lengths, strides[-1], strict=True)]
    return tuple(zip([*kernels, (3, 3, 3)], strides, strict=True))


def _halved(sides: Sequence[int], lengths: Sequence[float]) -> list[int]:
    """The axes that the next level halves; none where it would be the last."""
    axes = [axis for axis, side in enumerate(sides) if side >= 2 * SMALLEST_SIDE]
    shortest = min((lengths[axis] for axis in axes), default=0.0)
    axes = [axis for axis in axes if lengths[axis] < COARSER * shortest]
    return [] if len(axes) == 1 and sides[axes[0]] < 3 * SMALLEST_SIDE else axes
