"""Differences over folds: cases are paired within their fold, whatever the folds share."""

import pytest

from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import CaseScores, Evaluation, summarise
from c2fnas.evaluation.paired_bootstrap import difference, paired_bootstrap


def evaluation(**dice: float) -> Evaluation:
    return summarise([CaseScores(case, {"organ": each}) for case, each in dice.items()])


def test_cases_are_paired_within_their_folds() -> None:
    first = {0: evaluation(a=0.9, b=0.8), 1: evaluation(c=0.4, d=0.3), 2: evaluation(e=0.1)}
    second = {1: evaluation(d=0.2, c=0.4), 0: evaluation(a=0.7, b=0.7)}
    found = difference(first, second)
    assert found is not None
    assert found == paired_bootstrap(evaluation(a=0.9, b=0.8, c=0.4, d=0.3), evaluation(a=0.7, b=0.7, c=0.4, d=0.2))
    assert difference(first, {3: evaluation(a=0.1)}) is None


def test_a_case_of_two_folds_is_paired_in_each_and_drawn_as_one() -> None:
    first = {0: evaluation(a=0.9, b=0.8), 1: evaluation(a=0.4, c=0.3)}
    second = {0: evaluation(a=0.7, b=0.7), 1: evaluation(a=0.5, c=0.2)}
    found = difference(first, second)
    assert found is not None
    apart = evaluation(a0=0.9, b=0.8, a1=0.4, c=0.3), evaluation(a0=0.7, b=0.7, a1=0.5, c=0.2)
    assert found == paired_bootstrap(*apart, groups={"a0": "a", "a1": "a"})
    assert found.mean.mean == pytest.approx((0.2 + 0.1 - 0.1 + 0.1) / 4)
    assert (found.mean.cases, found.mean.groups) == (4, 3)


def test_groups_go_through_all_folds() -> None:
    first = {0: evaluation(a=0.9, b=0.8), 1: evaluation(a=0.4, c=0.3)}
    second = {0: evaluation(a=0.7, b=0.7), 1: evaluation(a=0.5, c=0.2)}
    found = difference(first, second, groups={"a": "c", "b": "c"})  # the group is none of the case of its name
    assert found is not None
    assert (found.mean.cases, found.mean.groups) == (4, 2)


def test_other_cases_in_a_fold_are_refused() -> None:
    with pytest.raises(UserError, match="not of the same cases"):
        difference(
            {0: evaluation(a=0.5, b=0.5), 1: evaluation(c=0.5)}, {0: evaluation(a=0.5), 1: evaluation(b=0.5, c=0.5)}
        )


def test_the_seed_decides() -> None:
    first = {0: evaluation(**{f"c{n}": 0.5 + 0.01 * n for n in range(12)})}
    second = {0: evaluation(**{f"c{n}": 0.5 + 0.01 * (n * n % 7) for n in range(12)})}
    assert difference(first, second, seed=1) == difference(first, second, seed=1) != difference(first, second)
