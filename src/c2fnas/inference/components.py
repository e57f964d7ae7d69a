"""Connected components of labels: the largest one of a class stays, the others become background."""

from collections.abc import Iterable
from typing import Literal

import numpy as np

from c2fnas.data.restoration import box_of

CONNECTIVITY: Literal[26] = 26
"""Neighbours of a voxel: those that share a corner count, as nnU-Net has it."""


def keep_largest(labels: np.ndarray, classes: Iterable[int]) -> None:
    """Turn all but the largest component of each of ``classes`` into background.

    Args:
        labels: Class indices, uint8 ``[i, j, k]``; changed in place.
        classes: Class indices. Of components of equal size, one stays.
    """
    for index in classes:
        import cc3d

        whole: np.ndarray = labels == index
        if whole.any():
            i, j, k = (slice(*side) for side in box_of(whole))
            own = np.pad(whole[i, j, k], (0, 1))  # cc3d has no room for voxels apart in a box that ends with them
            other = own & (cc3d.largest_k(own, k=1, connectivity=CONNECTIVITY) == 0)
            labels[i, j, k][other[:-1, :-1, :-1]] = 0
