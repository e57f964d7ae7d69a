"""Which path trains at which iteration (paper 3.4, Eq. 6: c uniform over 𝒞)."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from c2fnas.space.operation import Operation


class UniformPaths:
    """One operation per cell, drawn uniformly; a pure function of seed and iteration, so it needs no state to resume.

    >>> UniformPaths(tuple(Operation), 12, seed=0)(7) == UniformPaths(tuple(Operation), 12, seed=0)(7)
    True
    """

    def __init__(self, operations: Sequence[Operation], cells: int, *, seed: int) -> None:
        self._operations, self._cells, self._seed = tuple(operations), cells, seed

    def __call__(self, iteration: int) -> tuple[Operation, ...]:
        """The path of ``iteration``."""
        rng = np.random.default_rng((self._seed, iteration))
        return tuple(self._operations[choice] for choice in rng.integers(len(self._operations), size=self._cells))

    def counts(self, iterations: int) -> list[list[int]]:
        """How often each cell (row) draws each operation (column) in the first ``iterations``: sampling fairness."""
        counts: list[Counter[Operation]] = [Counter() for _ in range(self._cells)]
        for iteration in range(iterations):
            for count, operation in zip(counts, self(iteration), strict=True):
                count[operation] += 1
        return [[count[operation] for operation in self._operations] for count in counts]
