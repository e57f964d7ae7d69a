"""Statistics of tables against what they were made of."""

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
    """Pairs of a normal distribution: of 400 samples 95 % or more hold; below 91 % is beyond 3.6 sigma."""
    rng, held = np.random.default_rng(0), 0
    true = 6 / np.pi * np.arcsin(0.6 / 2)
    for _ in range(400):
        one, other = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], count).T
        pair = [dict(zip(TOPOLOGIES, values.tolist(), strict=False)) for values in (one, other)]
        found = rank_agreement(*pair, resamples=1)
        assert found.value == pytest.approx(spearmanr(one, other).statistic)
        held += found.low <= true <= found.high
    assert held >= 364


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
