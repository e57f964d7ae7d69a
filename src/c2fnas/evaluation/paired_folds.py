"""How two networks differ over the validation cases of several folds, whatever cases the folds share."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from c2fnas.evaluation.metrics import Evaluation, summarise
from c2fnas.evaluation.paired_bootstrap import PairedDifference, paired_bootstrap


def difference(
    first: Mapping[int, Evaluation],
    second: Mapping[int, Evaluation],
    *,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
) -> PairedDifference | None:
    """``first`` minus ``second`` over the cases of the folds that both have, by fold; None without any.

    A case counts once for every fold that it validates, and these stay together as the cases of a group do; ``groups``
    names the group of a case that has one. Groups are resampled, trainings are not: the interval says nothing of what
    other seeds would give.

    Raises:
        UserError: the two are not of the same cases and classes, name a case of a fold twice, or no case is left.
    """
    folds = sorted(first.keys() & second.keys())
    if not folds:
        return None
    belongs = {_named(fold, case): group for fold in folds for case, group in _groups(first[fold], groups or {})}
    return paired_bootstrap(_together(first, folds), _together(second, folds), groups=belongs, seed=seed)


def _together(evaluations: Mapping[int, Evaluation], folds: Sequence[int]) -> Evaluation:
    """One evaluation of every case in each of its folds."""
    return summarise([replace(row, case=_named(fold, row.case)) for fold in folds for row in evaluations[fold].cases])


def _groups(evaluation: Evaluation, groups: Mapping[str, str]) -> list[tuple[str, str]]:
    """Each case with what it belongs to: its group, or itself in whatever fold."""
    return [
        (row.case, f"group {groups[row.case]}" if row.case in groups else f"case {row.case}")
        for row in evaluation.cases
    ]


def _named(fold: int, case: str) -> str:
    return f"fold {fold}: {case}"
