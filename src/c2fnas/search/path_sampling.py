"""Which path trains at which iteration (paper 3.4, Eq. 6: c uniform over 𝒞); strict fairness as an option."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence

import numpy as np

from c2fnas.space.operation import Operation, OperationPath


class PathSampling(ABC):
    """One operation per cell for every iteration: a pure function of seed and iteration.

    It needs no state to resume, and processes that train together agree without a word.
    """

    def __init__(self, operations: Sequence[Operation], cells: int, *, seed: int) -> None:
        self._operations, self._cells, self._seed = tuple(operations), cells, seed

    @abstractmethod
    def __call__(self, iteration: int) -> OperationPath:
        """The path of ``iteration``."""

    def counts(self, iterations: int) -> list[list[int]]:
        """How often each cell (row) trains each operation (column) in the first ``iterations``."""
        counts: list[Counter[Operation]] = [Counter() for _ in range(self._cells)]
        for iteration in range(iterations):
            for count, operation in zip(counts, self(iteration), strict=True):
                count[operation] += 1
        return [[count[operation] for operation in self._operations] for count in counts]


class UniformPaths(PathSampling):
    """Every operation of every cell equally likely, independently (the paper's).

    >>> UniformPaths(tuple(Operation), 12, seed=0)(7) == UniformPaths(tuple(Operation), 12, seed=0)(7)
    True
    """

    def __call__(self, iteration: int) -> OperationPath:
        """The path of ``iteration``."""
        rng = np.random.default_rng((self._seed, iteration))
        return tuple(self._operations[choice] for choice in rng.integers(len(self._operations), size=self._cells))


class StrictPaths(PathSampling):
    """Every operation of every cell once in as many iterations as there are operations, in random order.

    Strict fairness as FairNAS (arXiv 1907.01845) has it, but for one thing: weights move after every path, not after a
    round of them, so that an iteration costs what it costs with uniform sampling. Each cell has its own order, so all
    paths remain equally likely.

    >>> paths = StrictPaths(tuple(Operation), 12, seed=0)
    >>> sorted(path[4] for path in map(paths, range(3)))
    [<Operation.CONV2D: '2D'>, <Operation.CONV3D: '3D'>, <Operation.P3D: 'P3D'>]
    """

    def __call__(self, iteration: int) -> OperationPath:
        """The path of ``iteration``."""
        round_, place = divmod(iteration, len(self._operations))
        rng = np.random.default_rng((self._seed, round_))
        choices = np.tile(np.arange(len(self._operations)), (self._cells, 1))
        return tuple(self._operations[choice] for choice in rng.permuted(choices, axis=1)[:, place])


SAMPLINGS: dict[str, type[PathSampling]] = {"uniform": UniformPaths, "strict": StrictPaths}
"""By name: the paper's, and strict fairness."""


def describe_fairness(counts: Sequence[Sequence[int]]) -> str:
    """A line on :meth:`PathSampling.counts`.

    >>> describe_fairness([[10, 9, 11], [12, 9, 9]])
    'each operation of each cell trained in 9 to 12 iterations, 10 on average'
    """
    flat = [count for row in counts for count in row]
    mean = sum(flat) / len(flat)
    return f"each operation of each cell trained in {min(flat)} to {max(flat)} iterations, {mean:g} on average"
