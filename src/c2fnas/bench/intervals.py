"""Intervals of what is averaged over resampled tables and worlds drawn from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c2fnas.bench.worlds import KEPT
from c2fnas.search.answer import Interval

Array = NDArray[np.float64]
NORMAL = 1.96


@dataclass(frozen=True)
class Band:
    """A mean with its 95 % interval, per point of a grid."""

    mean: Array
    low: Array
    high: Array


def over_tables(values: Array, kept: float = KEPT) -> Band:
    """Return the mean of ``values`` with the interval over tables, one number a point.

    Tables are resampled by leaving out a part of their topologies. As in a jackknife that deletes many (Shao and Wu,
    A General Theory for Jackknife Variance Estimation, Annals of Statistics 17, 1989), the variance between them times
    kept to left out is that of another table. What differs within a table, by its worlds and the luck of searches, is
    taken off it, and counts as much as the number of worlds leaves of it. More worlds narrow the second part alone.
    The variance between tables is taken a standard error larger than it looks, since it is not known well; with one
    world of each table it cannot be told from luck.

    Args:
        values: ``[tables, worlds, ...]``; of one table, worlds alone differ.
        kept: the share of the topologies that a resampled table has.

    >>> rng = np.random.default_rng(0)
    >>> band = over_tables(rng.normal(1.0, 0.1, (40, 1)) + rng.normal(0.0, 0.3, (40, 500)))
    >>> 0.1 < float(band.high - band.mean) / 1.96 < 0.3
    True
    """
    tables, worlds = values.shape[:2]
    mean = values.mean(axis=(0, 1))
    within = values.var(axis=1, ddof=1).mean(axis=0) if worlds > 1 else np.zeros_like(mean)
    between = values.mean(axis=1).var(axis=0, ddof=1) if tables > 1 else np.zeros_like(mean)
    careful = 1 + np.sqrt(2 / max(1, tables - 1))
    of_tables = careful * np.maximum(between - within / worlds, 0.0) * kept / (1 - kept)
    half = NORMAL * np.sqrt(of_tables + within / (worlds * tables))
    return Band(mean, mean - half, mean + half)


def single(band: Band) -> Interval:
    """Return the band of a single point as numbers."""
    return float(band.mean), float(band.low), float(band.high)


def ratio_over_tables(one: Array, other: Array) -> Interval:
    """Return the mean of ``one`` in parts of that of ``other``, with its interval over tables.

    Both are ``[tables, worlds]`` of the same worlds. The ratio is linearised at the means (the delta method).
    """
    below = max(float(other.mean()), 1e-12)
    value = float(one.mean()) / below
    mean, low, high = single(over_tables((one - value * other) / below))
    return value, value + low - mean, value + high - mean
