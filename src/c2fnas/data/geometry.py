"""Geometry: the place of a volume's voxels in the patient."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from numpy.typing import ArrayLike

from c2fnas.shapes import Spacing

Row = tuple[float, float, float, float]

AFFINE_TOLERANCE = 1e-3
"""Largest difference of two affines' entries, in millimetres, at which they still count as the same."""


def parse_spacing(text: str) -> Spacing:
    """Return millimetres along i, j and k from three numbers, or from one for all axes.

    Raises:
        ValueError: these are no such numbers.

    >>> parse_spacing("1.25,1.25,8"), parse_spacing("0.5 × 0.5 × 3"), parse_spacing("1")
    ((1.25, 1.25, 8.0), (0.5, 0.5, 3.0), (1.0, 1.0, 1.0))
    """
    numbers = [float(part) for part in re.split(r"[\s,;×x]+", text.strip("()[] "))]
    if len(numbers) not in (1, 3) or not all(0 < number < np.inf for number in numbers):
        raise ValueError(f"spacing {text!r} is not one or three lengths in millimetres")
    i, j, k = numbers if len(numbers) == 3 else numbers * 3
    return i, j, k


@dataclass(frozen=True)
class Turn:
    """A turn of a grid that moves no voxel in space: axis ``a`` is ``order[a]``, backwards where ``flipped[a]``.

    >>> Turn((1, 0, 2), (False, True, False)).array(np.array([[[1], [2]], [[3], [4]]]))[..., 0].tolist()
    [[3, 1], [4, 2]]
    """

    order: tuple[int, int, int] = (0, 1, 2)
    flipped: tuple[bool, bool, bool] = (False, False, False)

    def array(self, array: np.ndarray) -> np.ndarray:
        """Return ``[i, j, k, ...]`` along the turned axes: a view."""
        turned = array.transpose(*self.order, *range(3, array.ndim))
        return turned[tuple(slice(None, None, -1 if flip else None) for flip in self.flipped)]


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

    def with_spacing(self, spacing: Spacing | None) -> Self:
        """Return the same grid with other millimetres between its voxels; as it is for None."""
        if spacing is None:
            return self
        matrix = self.matrix
        matrix[:3, :3] *= np.divide(spacing, self.spacing)
        return self.from_array(self.shape, matrix)

    def turn_onto(self, other: "Geometry") -> Turn | None:
        """Return the turn that lays this grid on ``other``, to :data:`AFFINE_TOLERANCE`; None where none does.

        >>> grid = np.diag([-1.0, 1.0, 3.0, 1.0])
        >>> Geometry.from_array((5, 6, 4), grid[[2, 0, 1, 3]].T).turn_onto(Geometry.from_array((4, 5, 6), grid))
        """
        steps = np.rint(np.linalg.solve(self.matrix[:3, :3], other.matrix[:3, :3]))
        if not all((np.abs(steps).sum(axis) == 1).all() for axis in (0, 1)):
            return None
        order, flipped = np.abs(steps).argmax(0), steps.sum(0) < 0
        way = np.eye(4)
        way[:3, :3] = steps
        way[order, 3] = np.where(flipped, np.array(self.shape)[order] - 1, 0)
        turned = self.from_array(np.array(self.shape)[order], self.matrix @ way)
        if turned.shape != other.shape or turned.affine_difference(other) > AFFINE_TOLERANCE:
            return None
        return Turn(tuple(order.tolist()), tuple(flipped.tolist()))

    def affine_difference(self, other: "Geometry") -> float:
        """Return the largest difference, in millimetres, between entries of the two affines."""
        return float(np.abs(self.matrix - other.matrix).max())
