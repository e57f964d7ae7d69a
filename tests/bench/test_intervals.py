"""Intervals over resampled tables: constants, closed forms, and how often they hold the truth."""

import numpy as np
import pytest

from c2fnas.bench import over_tables, ratio_over_tables
from c2fnas.bench.worlds import KEPT


def test_what_does_not_differ_has_no_interval() -> None:
    band = over_tables(np.full((5, 4, 3), 0.25))
    for part in (band.mean, band.low, band.high):
        assert part == pytest.approx([0.25] * 3)


def test_more_worlds_narrow_what_worlds_differ_by_alone() -> None:
    rng = np.random.default_rng(0)
    of_tables, of_worlds = rng.normal(0, 1, (50, 1)), rng.normal(0, 3, (50, 4000))
    few, many = over_tables(of_tables + of_worlds[:, :40]), over_tables(of_tables + of_worlds)
    only = over_tables(of_tables + 0 * of_worlds)
    assert many.high - many.low < few.high - few.low
    assert float(many.high - many.low) == pytest.approx(float(only.high - only.low), rel=0.02)
    wider = (3 * (1 + (2 / 49) ** 0.5)) ** 0.5
    assert float(only.high - only.mean) == pytest.approx(1.96 * wider * of_tables.std(ddof=1), rel=1e-9)


def test_an_interval_holds_the_mean_of_all_tables() -> None:
    """Tables of 96 numbers, resampled as worlds are drawn: of 300 about 95 % hold; below 88 % is beyond 5 sigma."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(300):
        table = rng.exponential(1.0, 96)
        kept = [rng.permutation(table)[: round(KEPT * 96)].mean() for _ in range(50)]
        values = np.array(kept)[:, None] + rng.normal(0, 0.1, (50, 6))
        band = over_tables(values)
        held += bool(band.low <= 1.0 <= band.high)
    assert 0.88 <= held / 300 <= 0.995


def test_a_ratio_is_that_of_the_means() -> None:
    rng = np.random.default_rng(2)
    other = rng.uniform(1, 2, (30, 8))
    value, low, high = ratio_over_tables(0.5 * other, other)
    assert (value, low, high) == pytest.approx((0.5, 0.5, 0.5))
    value, low, high = ratio_over_tables(0.5 * other + rng.normal(0, 0.1, other.shape), other)
    assert low < value < high
    assert 0.4 < low < 0.5 < high < 0.6


def test_luck_of_searches_alone_is_no_difference_of_tables() -> None:
    """Worlds differ, tables do not: with more worlds the interval closes, and its middle half is never far too wide."""
    rng = np.random.default_rng(3)
    for worlds, most in ((2, 0.5), (20, 0.16), (200, 0.05)):
        halves = [
            float(band.high - band.mean) for band in (over_tables(rng.normal(0, 1, (50, worlds))) for _ in range(40))
        ]
        assert np.median(halves) < most
