"""Folds taken together: the mean over all cases, and how far the folds' own means lie apart."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2fnas.evaluation.cross_validation import cross_validated
from c2fnas.evaluation.metrics import CaseScores, Evaluation, average, summarise

DICE = st.none() | st.floats(0, 1)


def evaluation(prefix: str, *rows: dict[str, float | None]) -> Evaluation:
    return summarise([CaseScores(f"{prefix}{number}", row) for number, row in enumerate(rows)])


def test_by_hand() -> None:
    found = cross_validated(
        {
            4: evaluation("b", {"organ": 0.6, "lesion": 0.3}),
            1: evaluation("a", {"organ": 0.9, "lesion": None}, {"organ": 0.6, "lesion": 0.1}),
        }
    )
    assert (found.folds, found.cases) == ((1, 4), 3)
    organ, lesion = found.per_class["organ"], found.per_class["lesion"]
    assert organ.dice == pytest.approx(0.7)
    assert organ.folds == pytest.approx((0.75, 0.6))
    assert organ.spread == pytest.approx(0.15 / sqrt(2))
    assert lesion.dice == pytest.approx(0.2)
    assert found.mean.dice == pytest.approx(0.45)
    assert found.mean.folds == pytest.approx((0.425, 0.45))
    assert found.to_json()["classes"][1]["name"] == "lesion"


def test_one_fold_has_no_spread_and_is_its_own_mean() -> None:
    only = evaluation("a", {"organ": 0.9, "lesion": None}, {"organ": 0.5, "lesion": None})
    found = cross_validated({0: only})
    assert found.mean.spread is None
    assert found.mean.dice == only.mean
    assert found.per_class["lesion"].dice is None
    assert found.per_class["lesion"].folds == (None,)


@given(st.lists(st.lists(st.tuples(DICE, st.floats(0, 1)), min_size=1, max_size=4), min_size=1, max_size=5))
def test_equal_folds_have_the_mean_of_their_means(folds: list[list[tuple[float | None, float]]]) -> None:
    """Where each fold has as many cases with the class; in general the cases' mean, of whatever folds."""
    found = cross_validated(
        {fold: evaluation(f"{fold}-", *({"a": a, "b": b} for a, b in rows)) for fold, rows in enumerate(folds)}
    )
    values = [b for rows in folds for _, b in rows]
    assert found.per_class["b"].dice == pytest.approx(sum(values) / len(values))
    if len({len(rows) for rows in folds}) == 1:
        assert found.per_class["b"].dice == pytest.approx(average(found.per_class["b"].folds))
    assert found.cases == len(values)


def test_the_average_leaves_out_what_is_not_there() -> None:
    assert average([None, 0.2, 0.4]) == pytest.approx(0.3)
    assert average([None]) is None
