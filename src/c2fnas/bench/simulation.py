"""A whole simulation: searchers compared on a table, and how well distance of codes tells difference of Dice."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from c2fnas.bench.comparison import Budget, Comparison, compare, difference
from c2fnas.bench.statistics import Estimate, cluster_share, distance_correlation, seed_noise
from c2fnas.bench.table import TopologyTable
from c2fnas.errors import UserError
from c2fnas.search.choice import make_searcher
from c2fnas.space.topology import Topology

FEWEST = 48
"""Topologies below which a table says nothing about searchers."""

SAMPLERS = ("algorithm1", "random", "regularised-evolution", "tpe", "surrogate")


@dataclass(frozen=True)
class Simulation:
    """Searches replayed on a table.

    Attributes:
        scores: mean Dice of the table's topologies.
        trainings: rows of the table.
        noise: standard deviation of Dice between seeds; None where no topology was repeated.
        distance: correlation of the distance of two codes with the difference of their Dice.
        clusters: share of the variance of Dice between clusters.
    """

    scores: dict[Topology, float]
    trainings: int
    noise: float | None
    budget: Budget
    comparison: Comparison
    distance: Estimate
    clusters: Estimate

    @cached_property
    def less_than_random(self) -> dict[str, tuple[float, float, float]]:
        """Regret of each sampler less that of random search, with its 95 % interval; early stopping is left out."""
        plain = {each.sampler: each for each in self.comparison.contenders if not each.early_stopping}
        random = plain.pop("random", None)
        return {} if random is None else {name: difference(each, random) for name, each in plain.items()}

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        dice = list(self.scores.values())
        return {
            "topologies": len(dice),
            "trainings": self.trainings,
            "budget": asdict(self.budget),
            "dice": {"best": max(dice), "mean": sum(dice) / len(dice), "worst": min(dice)},
            "seed_noise": self.noise,
            "distance_predicts_difference": asdict(self.distance),
            "variance_between_clusters": asdict(self.clusters),
            "networks": self.comparison.networks.tolist(),
            "costs": self.comparison.costs.tolist(),
            "contenders": [
                {
                    "name": each.name,
                    "repetitions": len(each.final),
                    "regret": each.regret[0],
                    "interval": list(each.regret[1:]),
                    "compute": float(each.cost.mean()),
                    "by_networks": {name: values.tolist() for name, values in asdict(each.by_networks).items()},
                    "by_cost": {name: values.tolist() for name, values in asdict(each.by_cost).items()},
                }
                for each in self.comparison.contenders
            ],
            "regret_less_that_of_random": {name: list(each) for name, each in self.less_than_random.items()},
        }

    def text(self) -> str:
        """Return a table and a few sentences for people."""
        budget, dice = self.budget, list(self.scores.values())
        seen = "without noise" if not budget.noise else f"seen with a noise of {budget.noise:.4f}"
        spread = "unknown" if self.noise is None else f"a standard deviation of {self.noise:.4f}"
        lines = [
            f"{len(dice)} topologies, {self.trainings} trainings: Dice {min(dice):.4f} to {max(dice):.4f}, mean "
            f"{sum(dice) / len(dice):.4f}; between seeds {spread}.",
            f"{budget.evaluations} networks a search, {budget.workers} workers, {seen}.",
            "",
            f"{'search':40} {'regret':>8} {'95 % interval':>18} {'compute':>9} {'searches':>9}",
        ]
        for each in self.comparison.contenders:
            mean, low, high = each.regret
            lines.append(
                f"{each.name:40} {mean:8.4f} {f'{low:.4f} to {high:.4f}':>18} {each.cost.mean():8.0f}s "
                f"{len(each.final):9}"
            )
        lines.append("")
        if len(dice) < FEWEST:
            lines.append(
                f"With fewer than {FEWEST} topologies none of this can be relied on; `c2fnas tabulate` adds more."
            )
        lines += [_verdict(name, *values) for name, values in self.less_than_random.items()]
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
    slow_repetitions: int = 50,
    noise: bool = True,
    on_contender: Callable[[str], None] = lambda name: None,
) -> Simulation:
    """Replay searches on a table of trained topologies, in virtual time with asynchronous workers.

    Args:
        table: Needs four topologies with a Dice, two of them of one cluster.
        samplers: Names of searchers, see :data:`c2fnas.search.choice.SEARCHERS`.
        evaluations: Networks of a search; half of the table's, 50 at most, where left out.
        workers: Networks that are trained at the same time.
        repetitions: Searches of each sampler.
        slow_repetitions: Searches of surrogate, tpe, gp, which think longer.
        noise: Let searches see Dice with the noise between the table's seeds.
        on_contender: Called with the name of each sampler as it begins.

    Raises:
        UserError: an unknown sampler, or a table that is too small or lacks its setting.

    >>> found = simulate(TopologyTable.shipped(), ["algorithm1", "random"], repetitions=20)
    >>> [contender.name for contender in found.comparison.contenders][:2]
    ['algorithm1', 'algorithm1 + early stopping']
    """
    from threadpoolctl import threadpool_limits

    measurements, scores, clusters = table.measurements(), table.scores, table.clusters
    scored = [sum(topology in scores for topology in cluster.topologies) for cluster in clusters]
    if sum(scored) < 4 or max(scored, default=0) < 2:
        raise UserError(
            f"{table.path}: has {sum(scored)} topologies with a Dice; four are needed, two of them of one cluster. "
            "`c2fnas tabulate` adds more."
        )
    for name in samplers:
        try:
            make_searcher(name, clusters, seed=0)
        except ValueError as error:
            raise UserError(f"--samplers {error}.") from error
    spread = seed_noise(table.rows)
    budget = Budget(
        evaluations=min(evaluations or max(1, min(50, len(table) // 2)), len(table)),
        workers=workers,
        repetitions=repetitions,
        slow_repetitions=slow_repetitions,
        noise=(spread or 0.0) if noise else 0.0,
    )
    with threadpool_limits(1):  # small matrices: threads would only wait for each other
        comparison = compare(measurements, clusters, samplers, budget, on_contender)
        distance, share = distance_correlation(scores), cluster_share(scores, clusters)
    return Simulation(scores, len(table.rows), spread, budget, comparison, distance, share)


def _verdict(name: str, mean: float, low: float, high: float) -> str:
    word = "better than random search" if high < 0 else "worse than random search" if low > 0 else "no different"
    return f"{name}: {word}; its regret less random's is {mean:+.4f} ({low:+.4f} to {high:+.4f})."


def _estimate(name: str, estimate: Estimate) -> str:
    interval = f"{estimate.low:.3f} to {estimate.high:.3f}"
    return f"{name}: {estimate.value:.3f} ({interval}), p = {estimate.p_value:.3f}."
