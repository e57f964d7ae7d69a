"""Sizes of the resolution levels for any input size (paper 4.1)."""

from c2fnas.shapes import Size


def level_sizes(input_size: Size, downsamplings: int) -> tuple[Size, ...]:
    """Return the input's size, then the size of level 0, 1, ...: each stride-2 convolution takes n to ⌈n/2⌉.

    >>> level_sizes((40, 56, 35), 3)
    ((40, 56, 35), (20, 28, 18), (10, 14, 9), (5, 7, 5), (3, 4, 3))
    """
    sizes = [input_size]
    for _ in range(downsamplings + 1):
        i, j, k = sizes[-1]
        sizes.append(((i - 1) // 2 + 1, (j - 1) // 2 + 1, (k - 1) // 2 + 1))
    return tuple(sizes)


def padded_size(input_size: Size, downsamplings: int) -> Size:
    """Return ``input_size``, enlarged to two voxels an axis at the lowest level where that would be a single voxel.

    Instance normalisation fails on a single voxel. A larger input stays as it is.

    >>> padded_size((16, 9, 12), 3), padded_size((17, 9, 12), 3)
    ((17, 17, 17), (17, 9, 12))
    """
    stride = 2 ** (downsamplings + 1)
    if any(size > stride for size in input_size):
        return input_size
    return (stride + 1, stride + 1, stride + 1)
