"""Dice of several evaluations of the same cases, by case and class, and its means over cases and groups of them."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import Evaluation


@dataclass(frozen=True)
class CaseTable:
    """Dice of several evaluations of the same cases.

    Attributes:
        names: classes.
        dice: ``[evaluation, case, class]``; not a number where one of the evaluations has none.
        keys: the group of each case, or itself.
    """

    names: tuple[str, ...]
    dice: np.ndarray
    keys: tuple[tuple[bool, str], ...]

    @property
    def groups(self) -> frozenset[tuple[bool, str]]:
        """Groups of which some case counts."""
        shown = ~np.isnan(self.dice[0]).all(axis=-1)
        return frozenset(key for key, counts in zip(self.keys, shown, strict=True) if counts)

    @cached_property
    def belongs(self) -> np.ndarray:
        """The number of each case's group ``[case]``."""
        numbers: dict[tuple[bool, str], int] = {}
        return np.array([numbers.setdefault(key, len(numbers)) for key in self.keys])

    def means(self) -> np.ndarray:
        """Return the mean Dice of each evaluation over cases, then over classes."""
        sums, shown = self._sums()
        return mean_over_classes(sums.sum(1), shown.sum(1))

    def means_without_each(self) -> np.ndarray:
        """Return the same without each group of cases, ``[evaluation, group]``."""
        sums, shown = self._sums()
        return mean_over_classes(sums.sum(1, keepdims=True) - sums, shown.sum(1, keepdims=True) - shown)

    def _sums(self) -> tuple[np.ndarray, np.ndarray]:
        """Dice ``[evaluation, group, class]`` and the number of cases, of groups of which some case counts."""
        counts = ~np.isnan(self.dice[0]).all(axis=-1)
        tables = [sums_by_group(each[counts], self.belongs[counts]) for each in self.dice]
        sums, shown = (np.array(each) for each in zip(*tables, strict=True))
        return sums, shown


def case_table(evaluations: Sequence[Evaluation], groups: Mapping[str, str] | None = None) -> CaseTable:
    """Return Dice by case and class; a case that is left out of a class for one evaluation is left out for all.

    Raises:
        UserError: the evaluations are not of the same cases and classes, name a case twice, or no case is left.
    """
    first, groups = evaluations[0], groups or {}
    names, cases = tuple(first.per_class), [row.case for row in first.cases]
    for evaluation in evaluations:
        _refuse_other_cases(first, evaluation)
    found = [{row.case: row.dice for row in evaluation.cases} for evaluation in evaluations]
    values = [[[each[case][name] for name in names] for case in cases] for each in found]
    dice = np.array(values, dtype=np.float64).reshape(len(values), len(cases), len(names))
    dice[:, np.isnan(dice).any(axis=0)] = np.nan
    if np.isnan(dice).all():
        raise UserError("Nothing to compare: no case shows a structure in both evaluations. Evaluate cases that do.")
    return CaseTable(names, dice, tuple((case in groups, groups.get(case, case)) for case in cases))


def _refuse_other_cases(first: Evaluation, second: Evaluation) -> None:
    """Refuse evaluations that can't be paired."""
    _refuse_twice([row.case for row in second.cases])
    ours, theirs = ({row.case for row in each.cases} for each in (first, second))
    if ours != theirs:
        raise UserError(
            f"The two evaluations are not of the same cases: {len(ours)} and {len(theirs)}, of which "
            f"{len(ours & theirs)} are in both. Evaluate both on the same ones."
        )
    if set(first.per_class) != set(second.per_class):
        raise UserError(
            f"The two evaluations are not of the same classes: {', '.join(first.per_class)} and "
            f"{', '.join(second.per_class)}."
        )


def _refuse_twice(cases: Sequence[str]) -> None:
    twice = next((case for case, times in Counter(cases).items() if times > 1), None)
    if twice is not None:
        raise UserError(f"An evaluation names the case {twice} more than once. Evaluate each case once.")


def sums_by_group(rows: np.ndarray, belongs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of Dice or of differences ``[case, class]`` by group, and the number of cases in each."""
    _, places = np.unique(belongs, return_inverse=True)
    there = ~np.isnan(rows)
    sums, shown = np.zeros((places.max() + 1, rows.shape[1])), np.zeros((places.max() + 1, rows.shape[1]))
    np.add.at(sums, places, np.where(there, rows, 0.0))
    np.add.at(shown, places, there)
    return sums, shown


def mean_over_classes(sums: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return the mean over ``shown`` cases, then over the classes that some show, of sums ``[..., class]``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class that none of these cases shows
        return np.nanmean(sums / shown, axis=-1)
