"""Folds taken together: the mean over all cases, and how far the folds' own means lie apart."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2fnas.data.scheme import LabelScheme
from c2fnas.evaluation.cross_validation import cross_validated, largest_gains
from c2fnas.evaluation.metrics import CaseScores, Evaluation, Options, average, score_case, summarise

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


def folds_of(*rows: list[tuple[float | None, float | None]]) -> dict[int, Evaluation]:
    """Folds of cases of one class: Dice, and that of the largest component alone."""
    found = {}
    for fold, cases in enumerate(rows):
        pairs = [({"organ": one, "b": 0.5}, {"organ": two, "b": 0.4}) for one, two in cases]
        scores = [CaseScores(f"{fold}-{i}", dice, largest=after) for i, (dice, after) in enumerate(pairs)]
        found[fold] = summarise(scores)
    return found


@pytest.mark.parametrize(
    ("rows", "gained"),
    [
        (([(0.5, 0.6)], [(0.5, 0.5)], [(0.2, 0.5), (None, None)]), 1.6 / 3),
        (([(0.5, 0.6)], [(0.5, 0.6)]), None),  # too few folds
        (([(0.5, 0.9)], [(0.5, 0.49)], [(0.2, 0.9)]), None),  # worse in a fold
        (([(0.5, 0.9), (0.5, 0.3)], [(0.5, 0.5)], [(0.5, 0.5)]), 0.55),  # worse in a case, better in its fold
        (([(0.5, 0.5)], [(0.5, 0.5)], [(0.5, 0.5)]), None),  # no better
    ],
)
def test_the_largest_component_is_kept_where_folds_agree(rows: tuple, gained: float | None) -> None:
    found = cross_validated(folds_of(*rows))
    assert found.per_class["organ"].largest == (None if gained is None else pytest.approx(gained))
    assert found.per_class["b"].largest is None
    assert found.keep_largest == (() if gained is None else ("organ",))
    assert ("organ" in largest_gains(found)) is (gained is not None)
    without = folds_of(*([(before, before) for before, _ in fold] for fold in rows))
    plain = cross_validated(without)
    assert plain.mean == found.mean  # no other figure has it
    assert plain.per_class["organ"].dice == found.per_class["organ"].dice


def test_dice_of_the_largest_component_is_beside_the_plain_one() -> None:
    truth = np.zeros((8, 8, 8), np.uint8)
    truth[:4, :4, :4] = 1
    prediction = truth.copy()
    prediction[6:, 6:, 6:] = 1  # 8 voxels too many
    scheme = LabelScheme.of("background", "organ", "none")
    row = score_case("a", prediction, truth, scheme, options=Options(largest=True))
    assert row.dice == {"organ": pytest.approx(2 * 64 / (64 + 72)), "none": None}
    assert row.largest == {"organ": 1.0, "none": None}
    assert CaseScores.from_json(row.to_json()) == row
    assert score_case("a", prediction, truth, scheme).largest is None
    assert (prediction[6:, 6:, 6:] == 1).all()
