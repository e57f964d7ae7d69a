"""Algorithm 1 as an Optuna sampler, to use in a study of one's own. This module alone imports Optuna at once."""

import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from c2fnas.search.algorithm1 import ClusterEvolution
from c2fnas.search.clusters import cluster_topologies
from c2fnas.search.optuna_search import level_distributions, level_parameters
from c2fnas.search.searcher import Asked, Told
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

LEVELS = "c2fnas:levels"


class ClusterEvolutionSampler(BaseSampler):
    """Algorithm 1 (paper 3.3) for ``study.optimize``; the objective gets its topology from :func:`suggest_topology`.

    The study says how many networks are trained (``n_trials``). Every proposal follows from the seed and the study's
    trials, so a study that is stored resumes. Threads (``n_jobs``) may share the sampler; two processes that ask at the
    same moment could be given the same topology.

    >>> import optuna
    >>> study = optuna.create_study(direction="maximize", sampler=ClusterEvolutionSampler(seed=0))
    >>> topology = suggest_topology(study.ask())
    >>> len(topology.code)
    12
    """

    def __init__(
        self,
        space: SearchSpace | None = None,
        *,
        seed: int = 0,
        clusters: int = 8,
        per_cluster: int = 2,
        random_share: float = 0.2,
    ) -> None:
        """Sample topologies of ``space``, by default the paper's; the options are those of ``ClusterEvolution``."""
        self._topologies = (space or SearchSpace()).topologies()
        self._clusters = cluster_topologies(self._topologies, clusters=clusters, seed=seed)
        self._options: dict[str, Any] = {"seed": seed, "per_cluster": per_cluster, "random_share": random_share}
        self._space: dict[str, BaseDistribution] = {**level_distributions(self._topologies)}
        self._others = RandomSampler(seed=seed)
        self._lock = threading.Lock()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the levels of all cells, which are drawn together."""
        return self._space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the code of the topology that Algorithm 1 proposes.

        Raises:
            ValueError: the study minimises, or every topology was proposed.
        """
        if study.direction != StudyDirection.MAXIMIZE:
            raise ValueError("the study minimises; a score is a Dice, create it with direction='maximize'")
        with self._lock:
            searcher = ClusterEvolution(self._clusters, evaluations=len(self._topologies), **self._options)
            searcher.replay(_events(study, other_than=trial))
            proposal = searcher.ask()
            if proposal is None:
                raise ValueError("every topology of the search space has been proposed")
            levels = level_parameters(proposal.topology)
            # Known at once to those who ask next: the objective may suggest the levels later.
            study._storage.set_trial_system_attr(trial._trial_id, LEVELS, levels)
        return {**levels}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw a parameter other than the topology at random."""
        return self._others.sample_independent(study, trial, param_name, param_distribution)


def suggest_topology(trial: Trial, space: SearchSpace | None = None) -> Topology:
    """Return the topology of a trial whose study samples with :class:`ClusterEvolutionSampler`."""
    levels = level_distributions((space or SearchSpace()).topologies())
    return Topology(tuple(trial.suggest_int(name, each.low, each.high) for name, each in levels.items()))


def _events(study: Study, *, other_than: FrozenTrial) -> Iterator[Asked | Told]:
    """All proposals of the study, then all results in the order in which they came.

    A topology that several trials have, one tried again or enqueued by hand, is one: its result is the first Dice, or a
    failure once all of them have ended.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if _code(trial) and trial.number != other_than.number]
    by_code: dict[tuple[int, ...], list[FrozenTrial]] = {}
    for trial in trials:
        by_code.setdefault(_code(trial), []).append(trial)
    for code in by_code:
        yield Asked(Topology(code))
    results = [result for each in by_code.values() if (result := _result(each)) is not None]
    for trial in sorted(results, key=_end):
        yield Told(Topology(_code(trial)), _score(trial))


def _result(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The trial that decides on a topology; None while one of them may still give it a Dice."""
    ended = sorted((trial for trial in trials if trial.state.is_finished()), key=_end)
    scored = [trial for trial in ended if _score(trial) is not None]
    return scored[0] if scored else ended[-1] if len(ended) == len(trials) else None


def _end(trial: FrozenTrial) -> tuple[Any, int]:
    return trial.datetime_complete or trial.datetime_start, trial.number


def _code(trial: FrozenTrial) -> tuple[int, ...]:
    """The code of a trial, which has it as a system attribute until the objective suggests it; empty without one."""
    drawn = {**trial.system_attrs.get(LEVELS, {}), **trial.params}
    return tuple(drawn[name] for name in sorted(drawn) if name.startswith("level_"))


def _score(trial: FrozenTrial) -> float | None:
    """The Dice of a trial; None where it failed, was pruned or has no value in [0, 1]."""
    if trial.state != TrialState.COMPLETE or trial.value is None or not math.isfinite(trial.value):
        return None
    return trial.value if 0 <= trial.value <= 1 else None
