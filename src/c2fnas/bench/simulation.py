"""A whole simulation: searchers compared on a table, and how well distance of codes tells difference of Dice."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from c2fnas.bench.answers import Entry
from c2fnas.bench.comparison import Budget, Comparison, Contender, compare, difference, ratio
from c2fnas.bench.intervals import Interval
from c2fnas.bench.samplers import SAMPLERS
from c2fnas.bench.statistics import Estimate, cluster_share, distance_correlation, seed_noise
from c2fnas.bench.table import TopologyTable
from c2fnas.bench.worlds import TRUTHS, Truth, draw_worlds
from c2fnas.errors import UserError
from c2fnas.search.choice import make_searcher
from c2fnas.search.clusters import cluster_topologies
from c2fnas.space.topology import Topology

FEWEST = 48
"""Topologies below which a table says nothing about searchers."""

MOST = 50
"""Networks of a search, as in the paper."""
TABLES, DRAWS = 50, 20
"""Resampled tables, and worlds of each."""
WORLDS = 5
"""The fewest searches of a table: with one, luck cannot be told from what tables differ by, with two hardly."""


@dataclass(frozen=True)
class Simulation:
    """Searches replayed on a table.

    Attributes:
        scores: mean Dice of the table's topologies.
        trainings: rows of the table.
        noise: standard deviation of Dice between seeds; None where no topology was repeated.
        truth: the model of the table from which worlds were drawn.
        distance: correlation of the distance of two codes with the difference of their Dice.
        clusters: share of the variance of Dice between clusters.
        prior: the name of the table that a Bayesian search begins with; None without.
    """

    scores: dict[Topology, float]
    trainings: int
    noise: float | None
    truth: Truth
    budget: Budget
    comparison: Comparison
    distance: Estimate
    clusters: Estimate
    prior: str | None = None

    @cached_property
    def less_than_random(self) -> dict[str, Interval]:
        """Regret of each sampler less that of random search, with its 95 % interval; early stopping is left out."""
        plain = self._plain
        random = plain.pop("random", None)
        return {} if random is None else {name: difference(each, random) for name, each in plain.items()}

    @cached_property
    def against_algorithm1(self) -> dict[str, tuple[Interval, Interval]]:
        """Regret of each search by the posterior, less that of Algorithm 1 and in parts of it; with 95 % intervals."""
        plain = self._plain
        paper = plain.pop("algorithm1", None)
        mine = {name: each for name, each in plain.items() if each.entry.rule in ("posterior", "cheapest")}
        return (
            {}
            if paper is None
            else {name: (difference(each, paper), ratio(each, paper)) for name, each in mine.items()}
        )

    @property
    def _asides(self) -> str:
        """The margin of a run's rule and the prior, where there are such."""
        rules = {each.entry.rule for each in self.comparison.contenders}
        margin = f" cheapest: within {self.budget.margin:g}." if "cheapest" in rules else ""
        return margin + (f" The model begins with {self.prior}." if self.prior else "")

    @property
    def _plain(self) -> dict[str, Contender]:
        return {each.name: each for each in self.comparison.contenders if not each.early_stopping}

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        dice = list(self.scores.values())
        return {
            "topologies": len(dice),
            "trainings": self.trainings,
            "budget": asdict(self.budget),
            "dice": {"best": max(dice), "mean": sum(dice) / len(dice), "worst": min(dice)},
            "seed_noise": self.noise,
            "truth": self.truth,
            "prior": self.prior,
            "distance_predicts_difference": asdict(self.distance),
            "variance_between_clusters": asdict(self.clusters),
            "networks": self.comparison.networks.tolist(),
            "costs": self.comparison.costs.tolist(),
            "contenders": [
                {
                    "name": each.name,
                    "repetitions": each.repetitions,
                    "regret": each.regret[0],
                    "interval": list(each.regret[1:]),
                    "compute": float(each.cost.mean()),
                    "price": float(np.nanmean(each.price)),
                    "by_networks": {name: values.tolist() for name, values in asdict(each.by_networks).items()},
                    "by_cost": {name: values.tolist() for name, values in asdict(each.by_cost).items()},
                }
                for each in self.comparison.contenders
            ],
            "regret_less_that_of_random": {name: list(each) for name, each in self.less_than_random.items()},
            "regret_against_algorithm1": {
                name: {"less": list(less), "ratio": list(part)}
                for name, (less, part) in self.against_algorithm1.items()
            },
        }

    def text(self) -> str:
        """Return a table and a few sentences for people."""
        budget, dice = self.budget, list(self.scores.values())
        seen = "without noise" if not budget.noise else f"seen with a noise of {budget.noise:.4f}"
        spread = "unknown" if self.noise is None else f"a standard deviation of {self.noise:.4f}"
        lines = [
            f"{len(dice)} topologies, {self.trainings} trainings: Dice {min(dice):.4f} to {max(dice):.4f}, mean "
            f"{sum(dice) / len(dice):.4f}; between seeds {spread}.",
            f"Truth: drawn from a model of each of {budget.tables} resampled tables; {TRUTHS[self.truth]}.",
            f"{budget.evaluations} networks a search, {budget.workers} workers, {seen}.{self._asides}",
            "",
            f"{'search':36} {'regret':>8} {'95 % interval':>18} {'its cost':>9} {'compute':>9} {'searches':>9}",
        ]
        for each in self.comparison.contenders:
            mean, low, high = each.regret
            lines.append(
                f"{each.name:36} {mean:8.4f} {f'{low:.4f} to {high:.4f}':>18} {np.nanmean(each.price):9.2f} "
                f"{each.cost.mean():8.0f}s {each.repetitions:9}"
            )
        lines.append("")
        if len(dice) < FEWEST:
            lines.append(
                f"With fewer than {FEWEST} topologies none of this can be relied on; `c2fnas tabulate` adds more."
            )
        lines += [_verdict(name, *values) for name, values in self.less_than_random.items()]
        lines += [
            f"{name}: its regret is {part[0]:.2f} of Algorithm 1's ({part[1]:.2f} to {part[2]:.2f}), {less[0]:+.4f} "
            f"({less[1]:+.4f} to {less[2]:+.4f})."
            for name, (less, part) in self.against_algorithm1.items()
        ]
        lines.append(_estimate("Distance of codes against difference of Dice (Spearman)", self.distance))
        lines.append(_estimate("Share of the variance of Dice between clusters", self.clusters))
        return "\n".join(lines)


def simulate(
    table: TopologyTable,
    samplers: Sequence[str] = SAMPLERS,
    *,
    evaluations: int | None = None,
    workers: int = 8,
    repetitions: int = 1000,
    slow_repetitions: int = 100,
    noise: bool = True,
    truth: Truth = "own",
    tables: int = TABLES,
    prior: TopologyTable | None = None,
    on_contender: Callable[[str], None] = lambda name: None,
) -> Simulation:
    """Replay searches on truths that a table of trained topologies allows, in virtual time with asynchronous workers.

    The table is resampled, and true Dice of all topologies of its space are drawn from a model of each such table, see
    :func:`c2fnas.bench.draw_worlds`. Intervals are over tables.

    Args:
        table: Needs four topologies with a Dice, two of them of one cluster.
        samplers: Searches, each as ``SAMPLER[+RULE][@NETWORKS]``, see :class:`c2fnas.bench.Entry`.
        evaluations: Networks of a search; 50 or half of the space where left out.
        workers: Networks that are trained at the same time.
        repetitions: Searches of each sampler.
        slow_repetitions: Searches of those that think longer, such as bayesian and tpe.
        noise: Let searches see Dice with the noise between the table's seeds.
        truth: Model of the table from which worlds are drawn, see :func:`c2fnas.bench.draw_worlds`.
        tables: Resampled tables; fewer where some sampler has not five searches of each.
        prior: Table, such as one of another data set, that the model of a Bayesian search begins with, see
            :class:`c2fnas.search.TopologyModel`.
        on_contender: Called with the name of each sampler as it begins.

    Raises:
        UserError: an unknown sampler, or a table that is too small or lacks its setting.

    >>> found = simulate(TopologyTable.shipped(), ["algorithm1", "random"], repetitions=20)
    >>> [contender.name for contender in found.comparison.contenders][:2]
    ['algorithm1', 'algorithm1 + early stopping']
    """
    from threadpoolctl import threadpool_limits

    assert table.iterations  # a table without its setting is refused
    scores, clusters = table.scores, table.clusters
    scored = [sum(topology in scores for topology in cluster.topologies) for cluster in clusters]
    if sum(scored) < 4 or max(scored, default=0) < 2:
        raise UserError(
            f"{table.path}: has {sum(scored)} topologies with a Dice; four are needed, two of them of one cluster. "
            "`c2fnas tabulate` adds more."
        )
    for name in samplers:
        try:
            make_searcher(Entry.parse(name).sampler, clusters, seed=0)
        except ValueError as error:
            raise UserError(f"--samplers {error}.") from error
    spread, space = seed_noise(table.rows), table.space
    if prior is not None and not set(space) & set(prior):
        raise UserError(f"{prior.path}: shares no topology with the space of {table.path}. Give a table of that space.")
    budget = Budget(
        evaluations=min(evaluations or max(1, min(MOST, len(space) // 2)), len(space)),
        workers=workers,
        repetitions=repetitions,
        slow_repetitions=slow_repetitions,
        noise=(spread or 0.0) if noise else 0.0,
    )
    least = min(budget.searches(Entry.parse(name)) for name in samplers)
    budget = replace(budget, tables=max(1, min(tables, least // WORLDS)))
    beyond = [name for name in samplers if (Entry.parse(name).networks or 0) > budget.evaluations]
    if beyond and tuple(samplers) != SAMPLERS:
        raise UserError(f"--samplers {beyond[0]}: a search here has {budget.evaluations} networks. Ask for no more.")
    samplers = [name for name in samplers if name not in beyond]
    with threadpool_limits(1):  # small matrices: threads would only wait for each other
        draws = max(1, min(DRAWS, repetitions // budget.tables))
        worlds = draw_worlds(table, tables=budget.tables, draws=draws, truth=truth)
        whole = cluster_topologies(space, clusters=len(clusters))
        guess = None if prior is None else prior.predicted(space)
        comparison = compare(worlds, whole, samplers, budget, on_contender, guess)
        distance, share = distance_correlation(scores), cluster_share(scores, clusters)
    begins = None if prior is None else prior.path.name
    return Simulation(scores, len(table.rows), spread, truth, budget, comparison, distance, share, begins)


def _verdict(name: str, mean: float, low: float, high: float) -> str:
    word = "better than random search" if high < 0 else "worse than random search" if low > 0 else "no different"
    return f"{name}: {word}; its regret less random's is {mean:+.4f} ({low:+.4f} to {high:+.4f})."


def _estimate(name: str, estimate: Estimate) -> str:
    interval = f"{estimate.low:.3f} to {estimate.high:.3f}"
    return f"{name}: {estimate.value:.3f} ({interval}), p = {estimate.p_value:.3f}."
