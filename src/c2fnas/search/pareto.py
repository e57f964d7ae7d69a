"""The Pareto front: what no other candidate beats in every respect."""

from collections.abc import Sequence

import numpy as np


def is_on_front(points: Sequence[Sequence[float]]) -> list[bool]:
    """Whether each point is on the front; every coordinate is the better the smaller. Equal points stand together.

    >>> is_on_front([(1, 4), (2, 2), (3, 3), (4, 1)])
    [True, True, False, True]
    """
    table = np.asarray(points, dtype=float)
    return [
        not bool(np.any((table <= point).all(axis=1) & (table < point).any(axis=1))) for point in table
    ]  # one row at a time: memory stays linear
