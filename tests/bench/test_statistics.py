"""Statistics of tables against what they were made of."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import spearmanr

from c2fnas.bench import Row, common_seed_share, rank_agreement, reliability
from c2fnas.space.search_space import SearchSpace

TOPOLOGIES = SearchSpace(cells=8, downsamplings=2).topologies()


def rows_of(dice: np.ndarray) -> tuple[Row, ...]:
    """Rows of ``[topology, seed]``."""
    return tuple(
        Row(topology, 0, seed, float(value), {}, {}, 1.0, 1, 1)
        for topology, own in zip(TOPOLOGIES, dice, strict=False)
        for seed, value in enumerate(own)
    )


@pytest.mark.parametrize("count", [6, 12, 48])
def test_the_interval_of_a_rank_correlation_holds_the_true_one(count: int) -> None:
    """Pairs of a normal distribution: of 400 samples 95 % or more hold; below 91 % is beyond 3.6 sigma.

    More than 99 % would be an interval that is wider than it says: of six, whose ranks are coarse, 98 % hold.
    """
    rng, held = np.random.default_rng(0), 0
    true = 6 / np.pi * np.arcsin(0.6 / 2)
    for _ in range(400):
        one, other = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], count).T
        pair = [dict(zip(TOPOLOGIES, values.tolist(), strict=False)) for values in (one, other)]
        found = rank_agreement(*pair, resamples=1)
        assert found.value == pytest.approx(spearmanr(one, other).statistic)
        held += found.low <= true <= found.high
    assert 364 <= held <= 396


def test_the_interval_of_a_rank_correlation_is_the_published_one() -> None:
    """Seven ranks, two neighbours of which change places: 27/28, of which half a step of 1/28 is taken off.

    Bonett's and Wright's standard error of Fisher's z is √((1 + r²/2) / (n − 3)).
    """
    one = dict(zip(TOPOLOGIES, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), strict=False))
    other = dict(zip(TOPOLOGIES, (0.1, 0.2, 0.4, 0.3, 0.5, 0.6, 0.7), strict=False))
    found, inside = rank_agreement(one, other, resamples=1), 27 / 28 * 55 / 56
    assert found.value == pytest.approx(27 / 28)
    ends = [math.atanh(end) - math.atanh(inside) for end in (found.low, found.high)]
    half = 1.96 * math.sqrt((1 + inside**2 / 2) / 4)
    assert ends == pytest.approx([-half, half])


class EveryOrder:
    """A generator that deals every order of six once."""

    def __init__(self, seed: int) -> None:
        self.orders = permutations(range(6))

    def permutation(self, values: np.ndarray) -> np.ndarray:
        return values[list(next(self.orders))]


@pytest.mark.parametrize(
    ("order", "value", "as_much"),
    [
        ((1, 2, 3, 4, 5, 6), 1.0, 1),
        ((2, 1, 3, 5, 4, 6), 0.886, 12),
        ((2, 1, 4, 3, 6, 5), 0.829, 21),
        ((3, 1, 2, 5, 4, 6), 0.771, 37),
        ((6, 5, 4, 3, 2, 1), -1.0, 720),
    ],
)
def test_the_p_value_of_a_rank_correlation_counts_the_orders_that_give_as_much(
    order: tuple[int, ...], value: float, as_much: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the 720 orders of six; the counts are those of tables of Spearman's coefficient, one-sided."""
    monkeypatch.setattr(np.random, "default_rng", EveryOrder)
    one = {topology: 0.5 + place / 100 for place, topology in enumerate(sorted(TOPOLOGIES[:6]))}
    other = {topology: 0.3 + place / 100 for place, topology in zip(order, sorted(TOPOLOGIES[:6]), strict=True)}
    found = rank_agreement(one, other, resamples=720)
    assert found.value == pytest.approx(value, abs=0.0005)
    assert found.p_value == pytest.approx((1 + as_much) / 721)


def test_six_in_perfect_order_are_no_certainty() -> None:
    scores = {topology: 0.5 + place / 100 for place, topology in enumerate(TOPOLOGIES[:6])}
    found = rank_agreement(scores, scores, resamples=10)
    assert found.value == pytest.approx(1.0)
    assert 0.5 < found.low < 0.8
    with pytest.raises(ValueError, match="share 3 topologies"):
        rank_agreement(dict([*scores.items()][:3]), scores)


def test_reliability_is_the_share_of_variance_that_topologies_have() -> None:
    """Topologies apart by 0.01 and seeds by 0.01: a single training is reliable to a half, the mean of three to 3/4."""
    rng = np.random.default_rng(0)
    found: dict[int, list[float]] = {1: [], 3: []}
    for _ in range(40):
        dice = 0.8 + 0.01 * rng.standard_normal((70, 1)) + 0.01 * rng.standard_normal((70, 3))
        found[3].append(reliability(rows_of(dice)) or 0.0)
        found[1].append(reliability(rows_of(dice[:, :1]), noise=0.01) or 0.0)
    assert np.mean(found[3]) == pytest.approx(0.75, abs=0.03)
    assert np.mean(found[1]) == pytest.approx(0.5, abs=0.06)
    assert reliability(rows_of(0.8 + 0.01 * rng.standard_normal((9, 1)))) is None


def test_what_a_seed_has_in_common_over_topologies_is_told_from_luck() -> None:
    rng = np.random.default_rng(0)
    topologies, own = 0.01 * rng.standard_normal((70, 1)), 0.01 * rng.standard_normal((70, 3))
    none = common_seed_share(rows_of(0.8 + topologies + own), resamples=200)
    assert abs(none.value) < 0.05
    assert none.p_value > 0.01
    half = common_seed_share(rows_of(0.8 + topologies + own + np.array([[-0.012, 0, 0.012]])), resamples=200)
    assert 0.35 < half.low < half.value < half.high < 0.65
    assert half.p_value < 0.01
    with pytest.raises(ValueError, match="two of two are the least"):
        common_seed_share(rows_of(own[:, :1]))
