"""Optuna's samplers behind the interface of our searchers, to be put in the place of Algorithm 1."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2fnas.search.asynchronous import AsynchronousSearcher, Choice
from c2fnas.search.history import nearest
from c2fnas.search.searcher import Branch
from c2fnas.space.topology import Topology

if TYPE_CHECKING:
    from optuna.distributions import IntDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

ATTEMPTS = 5
"""How often a sampler that repeats itself is asked again."""

FIRST_SCORES = 10
"""TPE and the Gaussian process draw at random until they have so many; it is Optuna's default too."""


@dataclass(frozen=True)
class Sampling:
    """How an Optuna sampler is made, and when it is led by scores.

    Args:
        new: Makes it of a seed.
        scores: How many it awaits before they lead it; until then it draws at random. None: it always does.
    """

    new: "Callable[[int], BaseSampler]"
    scores: int | None

    def is_random(self, study: "Study") -> bool:
        """Whether its next suggestion for ``study`` is a random one."""
        from optuna.trial import TrialState

        told = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return self.scores is None or len(told) < self.scores


class OptunaSearch(AsynchronousSearcher):
    """A search by an Optuna sampler, the topology parametrised by its code: one whole number per cell.

    The sampler knows nothing of the two priors, so what it suggests stands for the topology with the nearest code.
    One that was proposed before is asked for again, ``attempts`` times in all, and then replaced by the untrained
    topology nearest to the suggestion. Every proposal comes from a new sampler with a seed of its own and a study
    rebuilt from the history: no state is hidden in the sampler, and a replay gives the same proposals. What it draws
    before scores lead it is a proposal of the random branch.
    """

    def __init__(
        self,
        topologies: Sequence[Topology],
        sampler: Sampling,
        *,
        seed: int,
        evaluations: int = 50,
        attempts: int = ATTEMPTS,
    ) -> None:
        """Search among ``topologies`` with the sampler that ``sampler`` makes."""
        super().__init__(topologies, seed=seed, evaluations=evaluations)
        self._topologies = tuple(topologies)
        self._sampler, self._attempts = sampler, attempts
        self._distributions = level_distributions(topologies)

    def _choose(self, rng: np.random.Generator) -> Choice:
        study = self._study()
        untrained = self._history.untrained
        for _ in range(self._attempts):
            branch: Branch = "random" if self._sampler.is_random(study) else "best"
            trial = self._suggestion(study, int(rng.integers(2**31)))
            code = [trial.params[name] for name in self._distributions]
            topology = nearest(self._topologies, code)
            if topology in untrained:
                return topology, None, branch
            self._tell_repeated(study, trial, topology)
        return nearest(untrained, code), None, branch

    def _suggestion(self, study: "Study", seed: int) -> "Trial":
        """The code that a new sampler suggests."""
        study.sampler = self._sampler.new(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # samplers announce that they are experimental, at every trial
            return study.ask(dict(self._distributions))

    def _tell_repeated(self, study: "Study", trial: "Trial", topology: Topology) -> None:
        """Tell the sampler what is known of a repeated suggestion, so that it looks elsewhere when asked again."""
        from optuna.trial import TrialState

        score = self._history.scores.get(topology)
        if score is not None:
            study.tell(trial, score)
        elif topology not in self._history.running:
            study.tell(trial, state=TrialState.FAIL)

    def _study(self) -> "Study":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize")
        study.add_trials([self._trial(topology) for topology in self._history.proposed])
        return study

    def _trial(self, topology: Topology) -> "FrozenTrial":
        from optuna.trial import TrialState, create_trial

        score = self._history.scores.get(topology)
        without_score = TrialState.RUNNING if topology in self._history.running else TrialState.FAIL
        return create_trial(
            state=without_score if score is None else TrialState.COMPLETE,
            value=score,
            params=level_parameters(topology),
            distributions=dict(self._distributions),
        )


def optuna_sampler(name: str) -> Sampling:
    """Optuna's sampler ``name``: ``random``, ``tpe`` or ``gp``.

    Raises:
        ValueError: an unknown name.
    """
    import optuna

    first = FIRST_SCORES
    samplers = {
        "random": Sampling(lambda seed: optuna.samplers.RandomSampler(seed=seed), None),
        # The constant liar keeps asynchronous workers apart: a running candidate counts as a poor one.
        "tpe": Sampling(
            lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=first, constant_liar=True), first
        ),
        "gp": Sampling(
            lambda seed: optuna.samplers.GPSampler(seed=seed, n_startup_trials=first, deterministic_objective=False),
            first,
        ),
    }
    if name not in samplers:
        raise ValueError(f"{name}: no such sampler; choose among {', '.join(samplers)}")
    return samplers[name]


def level_parameters(topology: Topology) -> dict[str, int]:
    """A code as Optuna's parameters, under the names of the run's ledger.

    >>> level_parameters(Topology((1, 1, 0)))
    {'level_01': 1, 'level_02': 1, 'level_03': 0}
    """
    return {f"level_{cell:02d}": level for cell, level in enumerate(topology.code, start=1)}


def level_distributions(topologies: Sequence[Topology]) -> "dict[str, IntDistribution]":
    """For every cell the levels that it has in one of ``topologies``."""
    from optuna.distributions import IntDistribution

    levels = zip(*(topology.code for topology in topologies), strict=True)
    return {f"level_{cell:02d}": IntDistribution(min(seen), max(seen)) for cell, seen in enumerate(levels, start=1)}
