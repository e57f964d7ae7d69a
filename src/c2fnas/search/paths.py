"""Paths of the fine stage: those that train (paper 3.4, Eq. 6), and the candidates that are ranked."""

import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from c2fnas.space.operation import Operation, OperationPath
from c2fnas.space.search_space import SearchSpace

if TYPE_CHECKING:
    from optuna.trial import Trial

BLOCK = 1024
"""Paths drawn at a time; another number would draw other paths."""

LEAST_POPULATION = 8
GENERATIONS = 10
"""The candidates of an evolution make up so many."""


class PathSampling(ABC):
    """One operation per cell for every iteration: a pure function of seed and iteration.

    It needs no state to resume, and processes that train together agree without communication.
    """

    def __init__(self, operations: Sequence[Operation], cells: int, *, seed: int) -> None:
        self._operations, self._cells, self._seed = tuple(operations), cells, seed

    @abstractmethod
    def __call__(self, iteration: int) -> OperationPath:
        """Return the path of ``iteration``."""

    def counts(self, iterations: int) -> list[list[int]]:
        """Return how often each cell (row) trains each operation (column) in the first ``iterations``."""
        cells = [Counter(cell) for cell in zip(*map(self, range(iterations)), strict=True)]
        return [[cell[operation] for operation in self._operations] for cell in cells or [Counter()] * self._cells]


class UniformPaths(PathSampling):
    """Every operation of every cell equally likely, independently (the paper's).

    >>> UniformPaths(tuple(Operation), 12, seed=0)(7) == UniformPaths(tuple(Operation), 12, seed=0)(7)
    True
    """

    def __call__(self, iteration: int) -> OperationPath:
        """Return the path of ``iteration``."""
        rng = np.random.default_rng((self._seed, iteration))
        return tuple(self._operations[choice] for choice in rng.integers(len(self._operations), size=self._cells))


class StrictPaths(PathSampling):
    """Every operation of every cell once in as many iterations as there are operations, in random order.

    This is the strict fairness of FairNAS (arXiv 1907.01845) with one difference: weights are updated after every path,
    not after a round of them, so that an iteration costs the same as with uniform sampling. Each cell has its own
    order, so all paths remain equally likely.

    >>> paths = StrictPaths(tuple(Operation), 12, seed=0)
    >>> sorted(path[4] for path in map(paths, range(3)))
    [<Operation.CONV2D: '2D'>, <Operation.CONV3D: '3D'>, <Operation.P3D: 'P3D'>]
    """

    def __call__(self, iteration: int) -> OperationPath:
        """Return the path of ``iteration``."""
        round_, place = divmod(iteration, len(self._operations))
        rng = np.random.default_rng((self._seed, round_))
        choices = np.tile(np.arange(len(self._operations)), (self._cells, 1))
        return tuple(self._operations[choice] for choice in rng.permuted(choices, axis=1)[:, place])


SAMPLINGS: dict[str, type[PathSampling]] = {"uniform": UniformPaths, "strict": StrictPaths}
"""By name: the paper's, and strict fairness."""


def describe_fairness(counts: Sequence[Sequence[int]]) -> str:
    """Return a line on :meth:`PathSampling.counts`.

    >>> describe_fairness([[10, 9, 11], [12, 9, 9]])
    'each operation of each cell trained in 9 to 12 iterations, 10 on average'
    """
    flat = [count for row in counts for count in row]
    mean = sum(flat) / len(flat)
    return f"each operation of each cell trained in {min(flat)} to {max(flat)} iterations, {mean:g} on average"


def random_paths(space: SearchSpace, count: int, *, seed: int) -> list[OperationPath]:
    """Return ``count`` distinct random paths (paper 3.4), all sets of them equally likely, or all paths if fewer.

    A larger ``count`` with the same seed begins with the same paths, so a ranking can be extended.

    >>> len(random_paths(SearchSpace(cells=2, downsamplings=1), 2000, seed=0))
    9
    """
    return list(islice(_distinct_paths(space, seed), min(count, space.operation_configuration_count)))


def _distinct_paths(space: SearchSpace, seed: int) -> Iterator[OperationPath]:
    rng = np.random.default_rng(seed)
    seen: set[tuple[int, ...]] = set()
    while len(seen) < space.operation_configuration_count:
        for choices in rng.integers(len(space.operations), size=(BLOCK, space.cells)).tolist():
            if tuple(choices) not in seen:
                seen.add(tuple(choices))
                yield tuple(space.operations[choice] for choice in choices)


class PathEvolution:
    """NSGA-II over paths, Dice against cost: ask for a generation, tell its scores and costs.

    A generation is asked for and told as a whole, so that its paths share their computation. Everything follows from
    the seed and what is told, so a search that is told the same results again resumes.

    >>> evolution = PathEvolution(SearchSpace(), candidates=80, seed=0)
    >>> generation = evolution.ask()
    >>> len(generation), evolution.ask() == generation  # nothing told yet
    (8, True)
    """

    def __init__(self, space: SearchSpace, *, candidates: int, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._candidates = space, min(candidates, space.operation_configuration_count)
        self.population = min(candidates, max(LEAST_POPULATION, candidates // GENERATIONS))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.NSGAIISampler(population_size=max(2, self.population), seed=seed)
        self._study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        self._asked: list[tuple[Trial, OperationPath]] = []
        self._known: dict[OperationPath, tuple[float, float] | None] = {}
        self.generation = 1

    @property
    def finished(self) -> bool:
        """True if as many distinct candidates as wanted were told, or evolution only repeats itself."""
        return len(self._known) >= self._candidates or self.generation > 3 * GENERATIONS

    def ask(self) -> list[OperationPath]:
        """Return the next generation's distinct paths, including those that were told before."""
        if not self._asked:
            trials = [self._study.ask() for _ in range(self.population)]
            self._asked = [(trial, self._path(trial)) for trial in trials]
        return list(dict.fromkeys(path for _, path in self._asked))

    def tell(self, results: Mapping[OperationPath, tuple[float, float] | None]) -> None:
        """Report Dice and cost of every path of the generation; None for one that has failed."""
        from optuna.trial import TrialState

        for trial, path in self._asked:
            result = self._known[path] = results[path]
            if result is None:
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                self._study.tell(trial, result)
        self._asked = []
        self.generation += 1

    def _path(self, trial: "Trial") -> OperationPath:
        choices = [operation.value for operation in self._space.operations]
        return tuple(
            Operation(trial.suggest_categorical(f"operation_{cell:02d}", choices))
            for cell in range(1, self._space.cells + 1)
        )
