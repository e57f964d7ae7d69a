"""Searchers against each other on a table: regret against evaluated networks and against compute, with bands."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from c2fnas.bench.replays import Band, Measurement, Replay, confidence_band, regret_at, replay
from c2fnas.search.choice import make_searcher
from c2fnas.space.clusters import TopologyCluster
from c2fnas.space.topology import Topology

SLOW = ("surrogate", "optuna-random", "tpe", "gp")
"""Samplers that take milliseconds to seconds a proposal, and are repeated less often."""

POINTS = 60


@dataclass(frozen=True)
class Contender:
    """A searcher in a comparison.

    Attributes:
        early_stopping: True if candidates are stopped at the table's rungs.
        final: the regret at the end of every repetition.
        cost: the cost of all candidates together, in every repetition.
        by_networks: mean regret with its band at 1, 2, ... evaluated networks.
        by_cost: the same at :attr:`Comparison.costs`.
    """

    sampler: str
    early_stopping: bool
    final: NDArray[np.float64]
    cost: NDArray[np.float64]
    by_networks: Band
    by_cost: Band

    @cached_property
    def regret(self) -> tuple[float, float, float]:
        """Mean final regret and its 95 % interval."""
        band = confidence_band(self.final[:, None])
        return float(band.mean[0]), float(band.low[0]), float(band.high[0])

    @property
    def name(self) -> str:
        """The sampler, with early stopping or without."""
        return f"{self.sampler} + early stopping" if self.early_stopping else self.sampler


@dataclass(frozen=True)
class Comparison:
    """All contenders on one table."""

    contenders: tuple[Contender, ...]
    networks: NDArray[np.int64]
    costs: NDArray[np.float64]


@dataclass(frozen=True)
class Budget:
    """The size of every search of a comparison, and their number.

    Attributes:
        evaluations: networks of a search.
        workers: networks that are trained at the same time.
        repetitions: searches of each sampler.
        slow_repetitions: searches of each sampler in :data:`SLOW`.
        noise: standard deviation between trainings, see :func:`c2fnas.bench.replay`.
        factor: of early stopping.
    """

    evaluations: int
    workers: int = 8
    repetitions: int = 1000
    slow_repetitions: int = 50
    noise: float = 0.0
    factor: int = 2


def compare(
    table: Mapping[Topology, Measurement],
    clusters: Sequence[TopologyCluster],
    samplers: Sequence[str],
    budget: Budget,
    on_contender: Callable[[str], None] = lambda name: None,
) -> Comparison:
    """Replay every sampler, with early stopping too where the table has rungs.

    ``on_contender`` is called with the name of every contender as it begins.

    Raises:
        ValueError: an unknown sampler.
    """
    networks = np.arange(1, budget.evaluations + 1)
    most = budget.evaluations * max(entry.cost for entry in table.values())
    dear = budget.evaluations * float(np.mean([entry.cost for entry in table.values()]))
    costs = np.linspace(0, min(most, 1.15 * dear), POINTS + 1)[1:]
    has_rungs = any(entry.rungs for entry in table.values())
    contenders = []
    for sampler in samplers:
        for early in (False, True) if has_rungs else (False,):
            on_contender(f"{sampler}{' + early stopping' if early else ''}")
            runs = list(_replays(sampler, early, table, clusters, budget))
            contenders.append(_contender(sampler, early, runs, networks, costs))
    return Comparison(tuple(contenders), networks, costs)


def difference(one: Contender, other: Contender, *, resamples: int = 5000, seed: int = 0) -> tuple[float, float, float]:
    """Return the mean final regret of ``one`` less ``other``'s, with its 95 % interval; below 0, ``one`` is better."""
    rng = np.random.default_rng(seed)
    drawn = [
        rng.choice(one.final, len(one.final)).mean() - rng.choice(other.final, len(other.final)).mean()
        for _ in range(resamples)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(one.final.mean() - other.final.mean()), float(low), float(high)


def _replays(
    sampler: str,
    early: bool,
    table: Mapping[Topology, Measurement],
    clusters: Sequence[TopologyCluster],
    budget: Budget,
) -> Iterator[Replay]:
    first = 2 if budget.evaluations >= 2 * len(clusters) else 1
    for seed in range(budget.slow_repetitions if sampler in SLOW else budget.repetitions):
        searcher = make_searcher(sampler, clusters, seed=seed, evaluations=budget.evaluations, per_cluster=first)
        yield replay(
            searcher,
            table,
            workers=budget.workers,
            noise=budget.noise,
            seed=seed,
            factor=budget.factor if early else None,
        )


def _contender(
    sampler: str, early: bool, runs: Sequence[Replay], networks: NDArray[np.int64], costs: NDArray[np.float64]
) -> Contender:
    return Contender(
        sampler,
        early,
        final=np.array([run.regret[-1] for run in runs]),
        cost=np.array([run.cost[-1] for run in runs]),
        by_networks=confidence_band(np.stack([regret_at(run, networks.tolist()) for run in runs])),
        by_cost=confidence_band(np.stack([regret_at(run, costs.tolist(), "cost") for run in runs])),
    )
