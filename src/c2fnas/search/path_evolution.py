"""Candidates of the fine stage by evolution instead of at random: Optuna's NSGA-II, Dice against cost."""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from c2fnas.space.operation import Operation, OperationPath
from c2fnas.space.search_space import SearchSpace

if TYPE_CHECKING:
    from optuna.trial import Trial

LEAST_POPULATION = 8
GENERATIONS = 10
"""How many the candidates make up."""


class PathEvolution:
    """NSGA-II over operation configurations: ask for a generation, tell its scores and costs.

    A generation is asked for and told as a whole, so that its paths share their computation. Everything follows from
    the seed and what is told; a search that tells the same results again is back where it was.

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
            sampler = optuna.samplers.NSGAIISampler(population_size=self.population, seed=seed)
        self._study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        self._asked: list[tuple[Trial, OperationPath]] = []
        self._known: dict[OperationPath, tuple[float, float] | None] = {}
        self.generation = 1

    @property
    def finished(self) -> bool:
        """Whether as many distinct candidates as wanted were told, or evolution goes on repeating itself."""
        return len(self._known) >= self._candidates or self.generation > 3 * GENERATIONS

    def ask(self) -> list[OperationPath]:
        """The next generation's distinct paths, those among them included that were told before."""
        if not self._asked:
            trials = [self._study.ask() for _ in range(self.population)]
            self._asked = [(trial, self._path(trial)) for trial in trials]
        return list(dict.fromkeys(path for _, path in self._asked))

    def tell(self, results: Mapping[OperationPath, tuple[float, float] | None]) -> None:
        """Dice and cost of every path of the generation; None for one that has failed."""
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
