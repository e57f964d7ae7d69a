"""Searchers against each other on worlds: regret against evaluated networks and against compute, with bands."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from c2fnas.bench.answers import Entry, choose_by_oracle, choose_by_posterior, settle
from c2fnas.bench.replays import Band, Replay, Table, confidence_band, regret_at, replay
from c2fnas.search.bayesian import BayesianSearch, TopologyModel
from c2fnas.search.choice import make_searcher
from c2fnas.search.clusters import TopologyCluster
from c2fnas.search.searcher import Searcher

SLOW = ("surrogate", "optuna-random", "tpe", "gp", "bayesian", "bayesian-gp")
"""Samplers that take milliseconds to seconds a proposal, and are repeated less often; so is the posterior's choice."""

SETTLING = 0.25
"""The share of the networks by which a Bayesian search settles its answer, as in a run."""
POINTS = 60


@dataclass(frozen=True)
class Contender:
    """A searcher in a comparison.

    Attributes:
        entry: the search.
        early_stopping: True if candidates are stopped at the table's rungs.
        final: the regret at the end, by table: the mean of its repetitions; of one world alone, of every repetition.
        cost: the cost of all candidates together, likewise.
        repetitions: how often the search was repeated.
        by_networks: mean regret with its band at 1, 2, ... evaluated networks.
        by_cost: the same at :attr:`Comparison.costs`.
    """

    entry: Entry
    early_stopping: bool
    final: NDArray[np.float64]
    cost: NDArray[np.float64]
    repetitions: int
    by_networks: Band
    by_cost: Band

    @cached_property
    def regret(self) -> tuple[float, float, float]:
        """Mean final regret and its 95 % interval."""
        band = confidence_band(self.final[:, None])
        return float(band.mean[0]), float(band.low[0]), float(band.high[0])

    @property
    def name(self) -> str:
        """The search, with early stopping or without."""
        return f"{self.entry.text} + early stopping" if self.early_stopping else self.entry.text


@dataclass(frozen=True)
class Comparison:
    """All contenders on the same worlds."""

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
        tables: resampled tables that the worlds are of, in turn; 1: worlds are no more than repetitions.
    """

    evaluations: int
    workers: int = 8
    repetitions: int = 1000
    slow_repetitions: int = 50
    noise: float = 0.0
    factor: int = 2
    tables: int = 1


def compare(
    worlds: Sequence[Table],
    clusters: Sequence[TopologyCluster],
    entries: Sequence[str],
    budget: Budget,
    on_contender: Callable[[str], None] = lambda name: None,
) -> Comparison:
    """Replay every search on the worlds in turn, the best observed with early stopping too where there are rungs.

    ``on_contender`` is called with the name of every contender as it begins.

    Raises:
        ValueError: an unknown sampler or rule.
    """
    networks = np.arange(1, budget.evaluations + 1)
    some = worlds[0].values()
    most = budget.evaluations * max(entry.cost for entry in some)
    dear = budget.evaluations * float(np.mean([entry.cost for entry in some]))
    costs = np.linspace(0, min(most, 1.15 * dear), POINTS + 1)[1:]
    has_rungs = any(entry.rungs for entry in some)
    contenders = []
    for entry in map(Entry.parse, entries):
        plain = entry.rule == "observed" and entry.networks is None
        for early in (False, True) if has_rungs and plain else (False,):
            on_contender(f"{entry.text}{' + early stopping' if early else ''}")
            runs = list(_Player(entry, early, worlds, clusters, budget).replays())
            contenders.append(_contender(entry, early, runs, networks, costs, budget.tables))
    return Comparison(tuple(contenders), networks, costs)


def difference(one: Contender, other: Contender, *, resamples: int = 5000, seed: int = 0) -> tuple[float, float, float]:
    """Return the mean final regret of ``one`` less ``other``'s, with its 95 % interval; below 0, ``one`` is better.

    The unit is the table, which both have in common; of one world alone it is the repetition.
    """
    units = min(len(one.final), len(other.final))
    apart = one.final[:units] - other.final[:units]
    drawn = np.random.default_rng(seed).choice(apart, (resamples, units)).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(apart.mean()), float(low), float(high)


def ratio(one: Contender, other: Contender, *, resamples: int = 5000, seed: int = 0) -> tuple[float, float, float]:
    """Return the mean final regret of ``one`` in parts of ``other``'s, with its 95 % interval over tables."""
    units = min(len(one.final), len(other.final))
    drawn = np.random.default_rng(seed).integers(units, size=(resamples, units))
    parts = one.final[drawn].mean(axis=1) / np.maximum(other.final[drawn].mean(axis=1), 1e-12)
    low, high = np.quantile(parts, [0.025, 0.975])
    return float(one.final[:units].mean() / max(other.final[:units].mean(), 1e-12)), float(low), float(high)


class _Player:
    """Plays the searches of one contender."""

    def __init__(
        self, entry: Entry, early: bool, worlds: Sequence[Table], clusters: Sequence[TopologyCluster], budget: Budget
    ) -> None:
        self._entry, self._early, self._worlds, self._clusters, self._budget = entry, early, worlds, clusters, budget
        self._networks = min(entry.networks or budget.evaluations, budget.evaluations)
        topologies = sorted(topology for cluster in clusters for topology in cluster.topologies)
        self._model = TopologyModel(topologies, "gp" if entry.sampler == "bayesian-gp" else "linear")

    def replays(self) -> Iterator[Replay]:
        budget, slow = self._budget, self._entry.sampler in SLOW or self._entry.rule == "posterior"
        for seed in range(budget.slow_repetitions if slow else budget.repetitions):
            yield self._chosen(self._worlds[seed % len(self._worlds)], seed)

    def _chosen(self, world: Table, seed: int) -> Replay:
        """A search, and the choices of its rule."""
        budget, entry = self._budget, self._entry
        found = replay(
            self._searcher(seed),
            world,
            workers=budget.workers,
            noise=budget.noise,
            seed=seed,
            factor=budget.factor if self._early else None,
        )
        if entry.rule == "oracle":
            return choose_by_oracle(found, world)
        if entry.settles:
            found = settle(found, world, self._model, networks=self._networks, noise=budget.noise, seed=seed)
        return choose_by_posterior(found, world, self._model) if entry.rule == "posterior" else found

    def _searcher(self, seed: int) -> Searcher:
        networks = self._networks - (round(SETTLING * self._networks) if self._entry.settles else 0)
        first = 2 if self._networks >= 2 * len(self._clusters) else 1
        sampler = self._entry.sampler
        made = make_searcher(sampler, self._clusters, seed=seed, evaluations=max(1, networks), per_cluster=first)
        if isinstance(made, BayesianSearch):
            made.share(self._model)
        return made


def _contender(
    entry: Entry,
    early: bool,
    runs: Sequence[Replay],
    networks: NDArray[np.int64],
    costs: NDArray[np.float64],
    tables: int,
) -> Contender:
    def by_table(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        stacked = np.stack(values)
        if tables == 1:
            return stacked
        return np.stack([stacked[table::tables].mean(axis=0) for table in range(min(tables, len(stacked)))])

    return Contender(
        entry,
        early,
        final=by_table([run.regret[-1:] for run in runs])[:, 0],
        cost=by_table([run.cost[-1:] for run in runs])[:, 0],
        repetitions=len(runs),
        by_networks=confidence_band(by_table([regret_at(run, networks.tolist()) for run in runs])),
        by_cost=confidence_band(by_table([regret_at(run, costs.tolist(), "cost") for run in runs])),
    )
