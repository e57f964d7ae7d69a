"""Geometry: the place of a volume's voxels in the patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from numpy.typing import ArrayLike

Row = tuple[float, float, float, float]

AFFINE_TOLERANCE = 1e-3
"""Largest difference of two affines' entries, in millimetres, at which they still count as the same."""


@dataclass(frozen=True)
class Geometry:
    """A volume's size in voxels and the affine from voxel indices (i, j, k) to millimetres (right, anterior, superior).

    >>> geometry = Geometry.from_array((4, 5, 6), np.diag([-0.5, 0.5, 3.0, 1.0]))
    >>> geometry.spacing
    (0.5, 0.5, 3.0)
    """

    shape: tuple[int, int, int]
    affine: tuple[Row, Row, Row, Row]

    @classmethod
    def from_array(cls, shape: Sequence[int], affine: ArrayLike) -> Self:
        """Return the geometry of an array's shape and a 4×4 affine."""
        i, j, k = (int(size) for size in shape)
        rows = np.asarray(affine, dtype=np.float64)
        if rows.shape != (4, 4):
            raise ValueError(f"an affine has 4 rows of 4 numbers, not shape {rows.shape}")
        return cls((i, j, k), cast(tuple[Row, Row, Row, Row], tuple(map(tuple, rows.tolist()))))

    @property
    def matrix(self) -> np.ndarray:
        """The affine as a float64 array ``[4, 4]``."""
        return np.array(self.affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between neighbouring voxels along i, j and k."""
        i, j, k = np.linalg.norm(self.matrix[:3, :3], axis=0)
        return float(i), float(j), float(k)

    def affine_difference(self, other: "Geometry") -> float:
        """Return the largest difference, in millimetres, between entries of the two affines."""
        return float(np.abs(self.matrix - other.matrix).max())
