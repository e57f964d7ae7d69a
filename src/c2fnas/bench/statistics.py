"""Statistics of a table of topologies: its noise, and the likeness of similar topologies (paper 3.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c2fnas.bench.rows import Row
from c2fnas.search.clusters import TopologyCluster
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
    """Return the standard deviation of Dice between trainings of a topology, or None if none was repeated."""
    groups: dict[Topology, list[float]] = {}
    for row in rows:
        if row.dice is not None:
            groups.setdefault(row.topology, []).append(row.dice)
    return pooled_sd(list(groups.values()))


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

    Tables may be of another length of training, or of another data set: how well the one ranks for the other. The
    interval is a bootstrap of topologies; the p-value, one-sided, is of permutations.

    Raises:
        ValueError: they share fewer than three topologies.

    >>> from c2fnas.bench import TopologyTable
    >>> scores = TopologyTable.shipped().scores
    >>> round(rank_agreement(scores, scores, resamples=10).value, 6)
    1.0
    """
    from scipy.stats import spearmanr

    shared = sorted(one.keys() & other.keys())
    if len(shared) < 3:
        raise ValueError(f"the tables share {len(shared)} topologies with a Dice; three are the least")
    pairs = np.array([(one[topology], other[topology]) for topology in shared])

    def correlation(first: Array, second: Array) -> float:
        tied = np.ptp(first) == 0 or np.ptp(second) == 0
        return 0.0 if tied else float(spearmanr(first, second).statistic)

    rng, count = np.random.default_rng(seed), len(shared)
    value = correlation(*pairs.T)
    again = [correlation(*pairs[rng.integers(count, size=count)].T) for _ in range(resamples)]
    chance = [correlation(pairs[:, 0], rng.permutation(pairs[:, 1])) for _ in range(resamples)]
    low, high = np.quantile(again, [0.025, 0.975])
    return Estimate(value, float(low), float(high), _p_value(value, chance))


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
    if np.ptp(one) == 0 or np.ptp(other) == 0:
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
