"""Statistics of a table of topologies: its noise, and the likeness of similar topologies (paper 3.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c2fnas.bench.intervals import NORMAL
from c2fnas.bench.rows import Row
from c2fnas.search.clusters import TopologyCluster
from c2fnas.search.collapsed import tempered
from c2fnas.search.ranks import pooled_sd
from c2fnas.space.topology import Topology

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, and the share of random permutations that give as much."""

    value: float
    low: float
    high: float
    p_value: float


def seed_noise(rows: Sequence[Row]) -> float | None:
    """Return the standard deviation of Dice between trainings of a topology, or None if none was repeated.

    A collapsed training counts as in the model of a search, see :func:`c2fnas.search.collapsed.tempered`: its own Dice
    would be most of the noise.
    """
    return pooled_sd(list(_by_topology(rows).values()))


def _by_topology(rows: Sequence[Row]) -> dict[Topology, list[float]]:
    groups: dict[Topology, list[float]] = {}
    for row, dice in _scored(rows):
        groups.setdefault(row.topology, []).append(dice)
    return groups


def _scored(rows: Sequence[Row]) -> list[tuple[Row, float]]:
    """The rows that have a Dice, with it, collapsed ones raised."""
    known = [(row, row.dice) for row in rows if row.dice is not None]
    dice = tempered(np.array([dice for _, dice in known], dtype=float)).tolist()
    return [(row, value) for (row, _), value in zip(known, dice, strict=True)]


def distance_correlation(scores: Mapping[Topology, float], *, resamples: int = 1000, seed: int = 0) -> Estimate:
    """Estimate Spearman's correlation of the distance of two codes with the difference of their Dice, over all pairs.

    Pairs share topologies and are not independent. So the interval is a bootstrap of topologies, without the pairs of
    one with its copy, and the p-value (one-sided) is Mantel's: scores are permuted over the topologies.
    """
    codes = np.array([topology.code for topology in scores], dtype=float)
    dice = np.array(list(scores.values()))
    distance = np.sqrt(((codes[:, None] - codes[None]) ** 2).sum(axis=-1))
    difference = np.abs(dice[:, None] - dice[None])
    value = _spearman(distance, difference)
    rng, count = np.random.default_rng(seed), len(dice)
    drawn = [rng.integers(count, size=count) for _ in range(resamples)]
    again = [_spearman(distance[np.ix_(d, d)], difference[np.ix_(d, d)], d) for d in drawn]
    low, high = np.quantile(again, [0.025, 0.975])
    dealt = (rng.permutation(count) for _ in range(resamples))
    chance = [_spearman(distance, difference[np.ix_(order, order)]) for order in dealt]
    return Estimate(value, float(low), float(high), _p_value(value, chance))


def rank_agreement(
    one: Mapping[Topology, float], other: Mapping[Topology, float], *, resamples: int = 1000, seed: int = 0
) -> Estimate:
    """Estimate Spearman's correlation of two tables' Dice over the topologies that both have.

    Tables may be of another length of training, or of another data set: how well the one ranks for the other. Noise of
    seeds lowers it; divided by the root of the product of both :func:`reliability` it is that of Dice without it. The
    interval is that of Bonett and Wright, Sample Size Requirements for Estimating Pearson, Kendall and Spearman
    Correlations, Psychometrika 65, 2000; the p-value, one-sided, is of permutations.

    Raises:
        ValueError: they share fewer than four topologies.

    >>> from c2fnas.bench import TopologyTable
    >>> scores = TopologyTable.shipped().scores
    >>> round(rank_agreement(scores, scores, resamples=10).value, 6)
    1.0
    """
    from scipy.stats import spearmanr

    shared = sorted(one.keys() & other.keys())
    if len(shared) < 4:
        raise ValueError(f"the tables share {len(shared)} topologies with a Dice; four are the least")
    pairs = np.array([(one[topology], other[topology]) for topology in shared])

    def correlation(first: Array, second: Array) -> float:
        tied = np.ptp(first) == 0 or np.ptp(second) == 0
        return 0.0 if tied else float(spearmanr(first, second).statistic)

    rng, value = np.random.default_rng(seed), correlation(*pairs.T)
    chance = [correlation(pairs[:, 0], rng.permutation(pairs[:, 1])) for _ in range(resamples)]
    return Estimate(value, *_correlation_interval(value, len(shared)), _p_value(value, chance))


def _correlation_interval(value: float, count: int) -> tuple[float, float]:
    """The 95 % interval of Spearman's correlation; half a step of what so few ranks can show is taken off a value."""
    inside = value * (1 - 6 / (count * (count**2 - 1)))
    half = NORMAL * np.sqrt((1 + inside**2 / 2) / (count - 3))
    return float(np.tanh(np.arctanh(inside) - half)), float(np.tanh(np.arctanh(inside) + half))


def reliability(rows: Sequence[Row], noise: float | None = None) -> float | None:
    """Return the share of the variance between topologies' mean Dice that is not noise of seeds, at least 0.

    Args:
        rows: of a table.
        noise: between seeds; None: :func:`seed_noise` of the rows.

    Returns:
        The share, or None of fewer than two topologies, or where none was repeated and no noise is given.
    """
    noise = seed_noise(rows) if noise is None else noise
    if noise is None:
        return None
    groups = _by_topology(rows)
    if len(groups) < 2:
        return None
    means = np.array([np.mean(group) for group in groups.values()])
    of_seeds = noise**2 * float(np.mean([1 / len(group) for group in groups.values()]))
    spread = float(means.var(ddof=1))
    return max(0.0, 1 - of_seeds / spread) if spread else 0.0


def common_seed_share(rows: Sequence[Row], *, resamples: int = 1000, seed: int = 0) -> Estimate:
    """Estimate the share of the variance between seeds that a seed has in common over topologies.

    With one seed, trainings of different topologies share the order of patches and the random numbers of their initial
    weights. As far as that makes a seed lucky for all, differences between topologies of one seed have less noise. ω²,
    whose mean by chance alone is 0; the interval is a bootstrap of topologies, the p-value a permutation of the seeds
    of each.

    Raises:
        ValueError: fewer than two topologies were trained with every seed, or there is one seed.
    """
    seeds = {row.seed for row in rows}
    found: dict[Topology, dict[int, float]] = {}
    for row, dice in _scored(rows):
        found.setdefault(row.topology, {})[row.seed] = dice
    whole = np.array([[own[each] for each in sorted(seeds)] for own in found.values() if own.keys() == seeds])
    if len(whole) < 2 or len(seeds) < 2:
        raise ValueError(
            f"{len(whole)} topologies were trained with all of {len(seeds)} seeds; two of two are the least"
        )
    apart, rng = whole - whole.mean(axis=1, keepdims=True), np.random.default_rng(seed)
    value = _common_share(apart)
    drawn = [_common_share(apart[rng.integers(len(apart), size=len(apart))]) for _ in range(resamples)]
    chance = [_common_share(rng.permuted(apart, axis=1)) for _ in range(resamples)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(value, float(low), float(high), _p_value(value, chance))


def _common_share(apart: Array) -> float:
    """ω² of the columns of ``[topology, seed]``, whose rows have a mean of 0."""
    topologies, seeds = apart.shape
    total, common = float((apart**2).sum()), topologies * float((apart.mean(axis=0) ** 2).sum())
    noise = (total - common) / ((topologies - 1) * (seeds - 1))
    return (common - (seeds - 1) * noise) / (total + noise) if total else 0.0


def cluster_share(
    scores: Mapping[Topology, float], clusters: Sequence[TopologyCluster], *, resamples: int = 1000, seed: int = 0
) -> Estimate:
    """Estimate the share of the variance of Dice between clusters (ω², whose mean by chance alone is 0).

    The interval is a bootstrap within clusters, the p-value a permutation of scores over topologies.
    """
    groups = [np.array([scores[t] for t in cluster.topologies if t in scores]) for cluster in clusters]
    groups = [group for group in groups if len(group) > 1]
    sizes = np.cumsum([len(group) for group in groups])[:-1]
    value, rng, together = _omega_squared(groups), np.random.default_rng(seed), np.concatenate(groups)
    drawn = [_omega_squared([rng.choice(group, len(group)) for group in groups]) for _ in range(resamples)]
    chance = [_omega_squared(np.split(rng.permutation(together), sizes)) for _ in range(resamples)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(value, float(low), float(high), _p_value(value, chance))


def _spearman(distance: Array, difference: Array, drawn: NDArray[np.int64] | None = None) -> float:
    from scipy.stats import rankdata

    rows, columns = np.triu_indices(len(distance), k=1)
    if drawn is not None:
        apart = drawn[rows] != drawn[columns]
        rows, columns = rows[apart], columns[apart]
    one, other = rankdata(distance[rows, columns]), rankdata(difference[rows, columns])
    if not len(one) or np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _omega_squared(groups: Sequence[Array]) -> float:
    together = np.concatenate(groups)
    total = float(((together - together.mean()) ** 2).sum())
    within = float(sum(((group - group.mean()) ** 2).sum() for group in groups))
    noise = within / (len(together) - len(groups))
    return (total - within - (len(groups) - 1) * noise) / (total + noise) if total else 0.0


def _p_value(value: float, chance: Sequence[float]) -> float:
    return (1 + sum(each >= value for each in chance)) / (1 + len(chance))
