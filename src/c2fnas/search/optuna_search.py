"""Optuna's samplers behind the interface of our searchers, as alternatives to Algorithm 1."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2fnas.search.base import AsynchronousSearcher, Choice, nearest
from c2fnas.search.searcher import Branch
from c2fnas.space.topology import Topology

if TYPE_CHECKING:
    from optuna.distributions import IntDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

ATTEMPTS = 5
"""Times that a sampler is asked for one proposal, should it repeat itself."""

FIRST_SCORES = 10
"""TPE and the Gaussian process draw at random until they have so many; it is Optuna's default too."""


@dataclass(frozen=True)
class Sampling:
    """An Optuna sampler, and when scores begin to lead it.

    Args:
        new: Makes it of a seed.
        scores: How many it awaits before they lead it; until then it draws at random. None: it always does.
    """

    new: "Callable[[int], BaseSampler]"
    scores: int | None

    def is_random(self, study: "Study") -> bool:
        """True if its next suggestion for ``study`` is a random one."""
        from optuna.trial import TrialState

        told = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return self.scores is None or len(told) < self.scores


class OptunaSearch(AsynchronousSearcher):
    """A search by an Optuna sampler, the topology parametrised by its code: one whole number per cell.

    The sampler does not know the two priors of the search space, so the topology with the nearest code replaces what it
    suggests. A repeated suggestion is asked for again, ``attempts`` times in all, and then replaced by the untrained
    topology nearest to it. Every proposal comes from a new sampler with a seed of its own and a study rebuilt from the
    history: the sampler hides no state, and a replay gives the same proposals. What it draws before scores lead it is a
    proposal of the random branch.
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

    def choose(self, rng: np.random.Generator) -> Choice:
        """Return the untrained topology nearest to a suggestion of the sampler."""
        study = self._study()
        untrained = self.history.untrained
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
        study.sampler = self._sampler.new(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # samplers announce that they are experimental, at every trial
            return study.ask(dict(self._distributions))

    def _tell_repeated(self, study: "Study", trial: "Trial", topology: Topology) -> None:
        """Tell the sampler what is known of a repeated suggestion, so that it looks elsewhere when asked again."""
        from optuna.trial import TrialState

        score = self.history.scores.get(topology)
        if score is not None:
            study.tell(trial, score)
        elif topology not in self.history.running:
            study.tell(trial, state=TrialState.FAIL)

    def _study(self) -> "Study":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize")
        study.add_trials([self._trial(topology) for topology in self.history.proposed])
        return study

    def _trial(self, topology: Topology) -> "FrozenTrial":
        from optuna.trial import TrialState, create_trial

        score = self.history.scores.get(topology)
        without_score = TrialState.RUNNING if topology in self.history.running else TrialState.FAIL
        return create_trial(
            state=without_score if score is None else TrialState.COMPLETE,
            value=score,
            params=level_parameters(topology),
            distributions=dict(self._distributions),
        )


def optuna_sampler(name: str) -> Sampling:
    """Return Optuna's sampler ``name``: ``random``, ``tpe`` or ``gp``.

    Raises:
        ValueError: an unknown name.
    """
    from optuna.samplers import GPSampler, RandomSampler, TPESampler

    first = FIRST_SCORES
    if name == "random":
        return Sampling(lambda seed: RandomSampler(seed=seed), None)
    if name == "tpe":
        # The constant liar keeps asynchronous workers apart: a running candidate counts as a poor one.
        return Sampling(lambda seed: TPESampler(seed=seed, n_startup_trials=first, constant_liar=True), first)
    if name == "gp":
        return Sampling(lambda seed: GPSampler(seed=seed, n_startup_trials=first, deterministic_objective=False), first)
    raise ValueError(f"{name}: no such sampler; choose among random, tpe, gp")


def level_parameters(topology: Topology) -> dict[str, int]:
    """Return a code as Optuna's parameters, under the names that a run's ledger uses.

    >>> level_parameters(Topology((1, 1, 0)))
    {'level_01': 1, 'level_02': 1, 'level_03': 0}
    """
    return {f"level_{cell:02d}": level for cell, level in enumerate(topology.code, start=1)}


def level_distributions(topologies: Sequence[Topology]) -> "dict[str, IntDistribution]":
    """Return for every cell the levels that it has in one of ``topologies``."""
    from optuna.distributions import IntDistribution

    levels = zip(*(topology.code for topology in topologies), strict=True)
    return {f"level_{cell:02d}": IntDistribution(min(seen), max(seen)) for cell, seen in enumerate(levels, start=1)}
