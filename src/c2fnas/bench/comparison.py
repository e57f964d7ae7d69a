"""Searchers against each other on worlds: regret against evaluated networks and against compute, with bands."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from c2fnas.bench.answers import Entry, choose_by_oracle, choose_by_posterior
from c2fnas.bench.intervals import Band, Interval, over_tables, ratio_over_tables, single
from c2fnas.bench.replays import Replay, Table, regret_at, replay
from c2fnas.bench.run_replays import replay_run
from c2fnas.search.bayesian import BayesianSearch, TopologyModel
from c2fnas.search.choice import make_searcher
from c2fnas.search.clusters import TopologyCluster
from c2fnas.search.pooled import Size
from c2fnas.search.posterior import MARGIN, Kind
from c2fnas.search.searcher import Searcher
from c2fnas.space.topology import Topology

SLOW = ("surrogate", "optuna-random", "tpe", "gp", "bayesian", "bayesian-gp")
"""Samplers that take milliseconds to seconds a proposal, and are repeated less often; so is the posterior's choice."""
POINTS = 60


@dataclass(frozen=True)
class Contender:
    """A searcher in a comparison.

    Attributes:
        entry: the search.
        early_stopping: True if candidates are stopped at the table's rungs.
        final: the regret at the end, ``[tables, worlds]``.
        cost: the cost of all candidates together, likewise.
        price: the cost of the network that is returned, in parts of the mean over all topologies, likewise.
        repetitions: how often the search was repeated.
        by_networks: mean regret with its band at 1, 2, ... evaluated networks.
        by_cost: the same at :attr:`Comparison.costs`.
    """

    entry: Entry
    early_stopping: bool
    final: NDArray[np.float64]
    cost: NDArray[np.float64]
    price: NDArray[np.float64]
    repetitions: int
    by_networks: Band
    by_cost: Band

    @cached_property
    def regret(self) -> Interval:
        """Mean final regret and its 95 % interval; no regret is below 0."""
        mean, low, high = single(over_tables(self.final))
        return mean, max(0.0, low), high

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
        slow_repetitions: searches of each sampler in :data:`SLOW`, and of those that the posterior answers.
        noise: standard deviation between trainings, see :func:`c2fnas.bench.replay`.
        factor: of early stopping.
        tables: resampled tables that the worlds are of, in turn.
        margin: of the rule ``cheapest``.
    """

    evaluations: int
    workers: int = 8
    repetitions: int = 1000
    slow_repetitions: int = 50
    noise: float = 0.0
    factor: int = 2
    tables: int = 1
    margin: float = MARGIN

    def searches(self, entry: Entry) -> int:
        """Return how often a search is repeated."""
        slow = entry.sampler in SLOW or entry.rule in ("posterior", "cheapest")
        return self.slow_repetitions if slow else self.repetitions


def compare(
    worlds: Sequence[Table],
    clusters: Sequence[TopologyCluster],
    entries: Sequence[str],
    budget: Budget,
    on_contender: Callable[[str], None] = lambda name: None,
    guess: Mapping[Topology, float] | None = None,
) -> Comparison:
    """Replay every search on the worlds in turn, the best observed with early stopping too where there are rungs.

    ``on_contender`` is called with the name of every contender as it begins. ``guess`` is what a Bayesian search and
    the posterior begin with, see :class:`c2fnas.search.TopologyModel`.

    Raises:
        ValueError: an unknown sampler or rule, or fewer searches than tables.
    """
    least = min(budget.searches(Entry.parse(entry)) for entry in entries)
    if least < budget.tables:
        raise ValueError(f"{least} searches are fewer than {budget.tables} tables")
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
            runs = list(_Player(entry, early, worlds, clusters, budget, guess).replays())
            contenders.append(_contender(entry, early, runs, networks, costs, worlds, budget.tables))
    return Comparison(tuple(contenders), networks, costs)


def difference(one: Contender, other: Contender) -> Interval:
    """Return the mean final regret of ``one`` less ``other``'s on the worlds of both, with its interval over tables.

    Below 0, ``one`` is better.
    """
    worlds = min(one.final.shape[1], other.final.shape[1])
    return single(over_tables(one.final[:, :worlds] - other.final[:, :worlds]))


def ratio(one: Contender, other: Contender) -> Interval:
    """Return the mean final regret of ``one`` in parts of ``other``'s, likewise."""
    worlds = min(one.final.shape[1], other.final.shape[1])
    return ratio_over_tables(one.final[:, :worlds], other.final[:, :worlds])


class _Player:
    """Plays the searches of one contender."""

    def __init__(
        self,
        entry: Entry,
        early: bool,
        worlds: Sequence[Table],
        clusters: Sequence[TopologyCluster],
        budget: Budget,
        guess: Mapping[Topology, float] | None,
    ) -> None:
        self._entry, self._early, self._worlds, self._clusters, self._budget = entry, early, worlds, clusters, budget
        self._networks = min(entry.networks or budget.evaluations, budget.evaluations)
        topologies = sorted(topology for cluster in clusters for topology in cluster.topologies)
        kind: Kind = "gp" if entry.sampler == "bayesian-gp" else "linear"
        self._model = TopologyModel(topologies, kind, guess)

    def replays(self) -> Iterator[Replay]:
        for seed in range(self._budget.searches(self._entry)):
            yield self._chosen(self._worlds[seed % len(self._worlds)], seed)

    def _chosen(self, world: Table, seed: int) -> Replay:
        """A search, and the choices of its rule."""
        budget, entry = self._budget, self._entry
        searcher = self._searcher(seed)
        if entry.pools:
            return replay_run(
                searcher,
                self._model,
                world,
                Size(self._networks),
                margin=budget.margin if entry.rule == "cheapest" else 0.0,
                workers=budget.workers,
                noise=budget.noise,
                seed=seed,
            )
        factor = budget.factor if self._early else None
        found = replay(searcher, world, workers=budget.workers, noise=budget.noise, seed=seed, factor=factor)
        if entry.rule == "oracle":
            return choose_by_oracle(found, world)
        return choose_by_posterior(found, world, self._model) if entry.rule == "posterior" else found

    def _searcher(self, seed: int) -> Searcher:
        first = 2 if self._networks >= 2 * len(self._clusters) else 1
        sampler = self._entry.sampler
        made = make_searcher(sampler, self._clusters, seed=seed, evaluations=self._networks, per_cluster=first)
        if isinstance(made, BayesianSearch):
            made.share(self._model)
        return made


def _contender(
    entry: Entry,
    early: bool,
    runs: Sequence[Replay],
    networks: NDArray[np.int64],
    costs: NDArray[np.float64],
    worlds: Sequence[Table],
    tables: int,
) -> Contender:
    each = len(runs) // tables

    def by_table(values: Sequence[NDArray[np.float64] | float]) -> NDArray[np.float64]:
        """``[tables, worlds, ...]``: repetitions go through the tables in turn."""
        stacked = np.stack([np.asarray(value) for value in values[: each * tables]])
        return stacked.reshape(each, tables, *stacked.shape[1:]).swapaxes(0, 1)

    price = [_price(run, worlds[place % len(worlds)]) for place, run in enumerate(runs)]
    return Contender(
        entry,
        early,
        final=by_table([float(run.regret[-1]) for run in runs]),
        cost=by_table([float(run.cost[-1]) for run in runs]),
        price=by_table(price),
        repetitions=len(runs),
        by_networks=over_tables(by_table([regret_at(run, networks.tolist()) for run in runs])),
        by_cost=over_tables(by_table([regret_at(run, costs.tolist(), "cost") for run in runs])),
    )


def _price(run: Replay, world: Table) -> float:
    """The cost of the network that a search returns, in parts of the mean; not a number where it returns none."""
    mean = float(np.mean([entry.cost for entry in world.values()]))
    return np.nan if run.answer is None else world[run.answer].cost / mean
