"""The operations a cell may carry (paper 3.4)."""

from enum import StrEnum


class Operation(StrEnum):
    """An operation of the fine stage; its value is its text. The last axis is the through-plane one.

    >>> Operation("P3D")
    <Operation.P3D: 'P3D'>
    """

    CONV3D = "3D"
    """A 3×3×3 convolution."""

    P3D = "P3D"
    """A 3×3×1 convolution followed by a 1×1×3 one (pseudo-3D)."""

    CONV2D = "2D"
    """A 3×3×1 convolution."""


OperationPath = tuple[Operation, ...]
"""The operation of every cell: a path through the super-network (paper 3.4)."""
