"""Orders of candidates: the Pareto front, Kendall's τ of two rankings with its interval, the noise of a repetition."""

import math
from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000


def is_on_front(points: Sequence[Sequence[float]]) -> list[bool]:
    """Return True for each point that no other beats in all coordinates; smaller is better. Equals stay together.

    >>> is_on_front([(1, 4), (2, 2), (3, 3), (4, 1)])
    [True, True, False, True]
    """
    table = np.asarray(points, dtype=float)
    return [  # one row at a time: memory stays linear
        not bool(np.any((table <= point).all(axis=1) & (table < point).any(axis=1))) for point in table
    ]


def kendall_tau(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Kendall's τ-b of two scores of the same candidates; 0 where either has only equal scores.

    >>> round(kendall_tau([1, 2, 3, 4], [10, 20, 40, 30]), 3)
    0.667
    """
    return float(_tau(np.asarray(one, dtype=float), np.asarray(other, dtype=float)))


def tau_interval(
    one: Sequence[float], other: Sequence[float], *, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of Kendall's τ over candidates."""
    from scipy.stats import bootstrap

    found = bootstrap(
        (np.asarray(one, dtype=float), np.asarray(other, dtype=float)),
        _tau,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def _tau(one: np.ndarray, other: np.ndarray, axis: int = -1) -> np.ndarray:
    """τ-b along the last axis of many samples at once; SciPy's takes one at a time, half a millisecond each."""
    assert axis in (-1, one.ndim - 1)
    first, second = (np.sign(values[..., :, None] - values[..., None, :]) for values in (one, other))
    pairs = np.sqrt((first**2).sum((-2, -1)) * (second**2).sum((-2, -1)))
    return (first * second).sum((-2, -1)) / np.where(pairs == 0, 1, pairs)


def pooled_sd(groups: Sequence[Sequence[float]]) -> float | None:
    """Return the standard deviation within groups of repetitions, pooled; None where nothing was repeated.

    >>> pooled_sd([[0.80, 0.82], [0.70, 0.70], [0.5]])
    0.01
    """
    repeated = [group for group in groups if len(group) > 1]
    if not repeated:
        return None
    squares = sum(float(np.var(group)) * len(group) for group in repeated)
    return round(math.sqrt(squares / sum(len(group) - 1 for group in repeated)), 12)


def sd_interval(groups: Sequence[Sequence[float]], confidence: float = 0.95) -> tuple[float, float] | None:
    """Return the interval of :func:`pooled_sd` for normal deviations; None where nothing was repeated.

    >>> [round(end, 4) for end in sd_interval([[0.80, 0.82], [0.70, 0.70], [0.5]])]
    [0.0052, 0.0628]
    """
    from scipy.stats import chi2

    deviation, freedom = pooled_sd(groups), sum(len(group) - 1 for group in groups if group)
    if deviation is None:
        return None
    low, high = (deviation * math.sqrt(freedom / chi2.ppf((1 + sign * confidence) / 2, freedom)) for sign in (1, -1))
    return low, high
