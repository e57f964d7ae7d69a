"""The paired bootstrap against closed forms, enumeration, and how often it cries wolf."""

import json
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from scipy import stats

from c2fnas.errors import UserError
from c2fnas.inference.metrics import CaseScores, Evaluation, summarise
from c2fnas.inference.paired_bootstrap import LEAST_CASES, PairedDifference, paired_bootstrap

Dice = float | None


def evaluation(*rows: Sequence[Dice], start: int = 0) -> Evaluation:
    """Of cases that are numbered, with a Dice for each of the classes a, b, …"""
    return summarise([
        CaseScores(f"case{number}", {"abc"[index]: dice for index, dice in enumerate(row)})
        for number, row in enumerate(rows, start)
    ])  # fmt: skip


def of_differences(values: Sequence[float], **options: float) -> PairedDifference:
    first = evaluation(*([0.5 + value] for value in values))
    return paired_bootstrap(first, evaluation(*([0.5] for _ in values)), **options)  # type: ignore[arg-type]


def test_on_many_cases_it_is_students_interval() -> None:
    values = np.random.default_rng(2).normal(0.02, 0.05, 60)
    found = of_differences(list(values)).mean
    closed = stats.t.interval(0.95, 59, values.mean(), values.std(ddof=1) / np.sqrt(60))
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(closed, abs=0.03 * (closed[1] - closed[0]))


def test_two_cases_give_their_range() -> None:
    found = of_differences([0.1, -0.2]).mean
    assert (found.mean, found.low, found.high) == pytest.approx((-0.05, -0.2, 0.1))
    assert found.better is None


def test_a_class_that_is_missing_in_places_is_resampled_with_its_cases() -> None:
    # Every one of the 3³ resamples, by hand: the mean over cases, then over the classes that are there.
    differences: list[list[float | None]] = [[0.1, None], [0.3, 0.5], [-0.2, 0.1]]
    first = evaluation(*([None if d is None else 0.5 + d for d in row] for row in differences))
    second = evaluation(*([0.5 for _ in row] for row in differences))
    means = []
    for drawn in product(differences, repeat=3):
        classes = [[d for d in column if d is not None] for column in zip(*drawn, strict=True)]
        means.append(np.mean([np.mean(column) for column in classes if column]))
    found = paired_bootstrap(first, second)
    # 95 % of three cases is expanded to all but 1 in a million.
    assert (found.mean.low, found.mean.high) == pytest.approx((min(means), max(means)))
    assert found.mean.mean == pytest.approx((0.2 / 3 + 0.3) / 2)
    only = found.per_class["b"]
    assert only is not None
    assert (only.cases, only.mean, only.low, only.high) == pytest.approx((2, 0.3, 0.1, 0.5))


def test_left_out_for_one_is_left_out_for_both() -> None:
    first, second = evaluation([0.8, None], [0.6, 0.5]), evaluation([0.7, 0.0], [0.7, 0.4])
    found = paired_bootstrap(first, second)
    assert found.per_class["b"] == paired_bootstrap(evaluation([0.5]), evaluation([0.4])).per_class["a"]
    assert found.per_class["b"].low is None  # type: ignore[union-attr]
    assert found.mean.mean == pytest.approx((0.0 + 0.1) / 2)


def test_a_class_that_is_nowhere_has_no_difference() -> None:
    found = paired_bootstrap(evaluation([0.8, None], [0.7, None]), evaluation([0.7, None], [0.7, None]))
    assert found.per_class["b"] is None
    assert found.mean == found.per_class["a"]


def test_the_two_change_places() -> None:
    rng = np.random.default_rng(5)
    first, second = (evaluation(*rng.uniform(0.3, 0.9, (20, 2))) for _ in range(2))
    there, back = paired_bootstrap(first, second).mean, paired_bootstrap(second, first).mean
    assert there.mean == pytest.approx(-back.mean)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))  # type: ignore[operator]
    assert {there.better, back.better} in ({None}, {"first", "second"})


def test_cases_are_paired_by_name_and_the_seed_decides() -> None:
    first, second = evaluation([0.9], [0.3], [0.5]), evaluation([0.8], [0.2], [0.6])
    turned = summarise(second.cases[::-1])
    assert paired_bootstrap(first, turned) == paired_bootstrap(first, second)
    spread = list(np.random.default_rng(1).normal(0, 0.1, 15))
    assert of_differences(spread, seed=3) == of_differences(spread, seed=3) != of_differences(spread, seed=4)


@pytest.mark.parametrize("count", [LEAST_CASES, 20])
def test_equal_networks_seldom_differ(count: int) -> None:
    # Under no difference 5 to 6 % of the intervals should miss 0: 20 to 24 of 400. A count of 400 at 5.5 %
    # lies beyond 8 to 40 once in 4,000 times; the seed makes it one draw for good.
    rng = np.random.default_rng(17)
    found = [of_differences(list(rng.normal(0, 0.05, count)), resamples=499).mean.better for _ in range(400)]
    wrong = sum(each is not None for each in found)
    assert 8 <= wrong <= 40
    assert {"first", "second"} <= set(found)


def test_few_cases_show_nothing_however_clear() -> None:
    clear = [0.1, 0.12, 0.11, 0.13, 0.1, 0.14, 0.12, 0.11]
    assert of_differences(clear[: LEAST_CASES - 1]).mean.better is None
    assert of_differences(clear).mean.better == "first"
    assert of_differences([-value for value in clear]).mean.better == "second"


def test_equal_evaluations_differ_by_nothing() -> None:
    found = of_differences([0.0] * 8).mean
    assert (found.mean, found.low, found.high, found.better) == (0, 0, 0, None)


def test_other_cases_or_classes_are_refused() -> None:
    with pytest.raises(UserError, match="2 and 2, of which 1 are in both"):
        paired_bootstrap(evaluation([0.5], [0.5]), evaluation([0.5], [0.5], start=1))
    with pytest.raises(UserError, match="same classes"):
        paired_bootstrap(evaluation([0.5]), evaluation([0.5, 0.5]))
    with pytest.raises(UserError, match="Nothing to compare"):
        paired_bootstrap(evaluation([0.5, None]), evaluation([None, 0.5]))


def test_json_and_back() -> None:
    found = paired_bootstrap(evaluation([0.8, None], [0.7, 0.1]), evaluation([0.7, None], [0.7, 0.3]))
    assert PairedDifference.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
