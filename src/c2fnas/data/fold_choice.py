"""How a data set is divided into folds: as the user asks, or as the data set itself says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.folds import (
    Split,
    class_counts,
    column_folds,
    find_splits_final,
    group_cases,
    missing_classes,
    random_folds,
    sequential_folds,
    shared_groups,
    splits_final,
    units,
)
from c2fnas.data.problem import Problem, Severity
from c2fnas.errors import UserError

FOLDS = 5
"""The paper's number (4.1)."""


@dataclass(frozen=True)
class FoldChoice:
    """A wish for folds; what is left open is decided by the data set.

    ``by`` is ``sequential``, ``random``, ``column`` (the fold that each case names), or the path of nnU-Net's
    ``splits_final.json`` or of a folder that holds it. Open, it is the column where cases name folds, else sequential.
    ``count`` is the number of folds; open, it is five, or as many as there are cases or groups. ``group_by`` is a
    regular expression whose first parenthesis names the group in a case's id.
    """

    by: str | None = None
    count: int | None = None
    group_by: str | None = None

    @property
    def given(self) -> bool:
        """Whether the user asks for anything."""
        return self != FoldChoice()


def make_folds(dataset: Dataset, choice: FoldChoice = FoldChoice(), seed: int = 0) -> tuple[Split, ...]:
    """The folds of a data set's training cases; ``seed`` is that of random ones.

    Raises:
        UserError: the wish can't be met: too few cases, an unknown kind, a group on both sides ...
    """
    try:
        return _folds(dataset, choice, seed)
    except UserError as error:
        raise UserError(f"{dataset.root}: {error}") from error


def chosen_groups(dataset: Dataset, choice: FoldChoice = FoldChoice()) -> dict[str, str]:
    """The group of every training case that shares it with another one, by the case's id.

    Raises:
        UserError: the expression that names groups is invalid, or an id doesn't match.
    """
    return shared_groups(_grouped(dataset, choice))


def _grouped(dataset: Dataset, choice: FoldChoice) -> tuple[Case, ...]:
    return group_cases(dataset.training, choice.group_by) if choice.group_by is not None else dataset.training


def _folds(dataset: Dataset, choice: FoldChoice, seed: int) -> tuple[Split, ...]:
    cases = _grouped(dataset, choice)
    by = choice.by or ("column" if any(case.fold is not None for case in cases) else "sequential")
    if by == "sequential":
        return sequential_folds(cases, _count(choice, cases))
    if by == "random":
        return random_folds(cases, _count(choice, cases), seed)
    if choice.count is not None:
        raise UserError(f"--fold-count {choice.count}: the number of folds is that of `--folds {by}`. Leave it out.")
    if by == "column":
        return column_folds(cases)
    return _splits_final(dataset, Path(by), cases)


def fold_problems(dataset: Dataset, present: Mapping[str, Iterable[int]], file: object) -> tuple[Problem, ...]:
    """What is wrong with the folds that a data set gets by default: none can be made, or classes are missing.

    ``present`` gives the class indices in each training case with a sound label; classes are told once all labels are
    sound. ``file`` is what the problems name.
    """
    if not dataset.training:
        return ()
    try:
        folds = _folds(dataset, FoldChoice(), seed=0)
    except UserError as error:
        own = any(case.fold is not None for case in dataset.training)
        fix = "Correct the folds, or choose others with --folds." if own else "Add cases: some train, others validate."
        severity: Severity = "error" if own else "warning"
        found = str(error).partition(". ")[0]
        return (Problem("", str(file), found, "folds to train and validate on", fix, severity),)
    if any(case.id not in present for case in dataset.training):
        return ()
    return missing_classes(class_counts(folds, present, len(dataset.classes)), dataset.classes, file)


def _splits_final(dataset: Dataset, path: Path, cases: Sequence[Case]) -> tuple[Split, ...]:
    file = find_splits_final(dataset, path)
    if file is None:
        raise UserError(
            f"--folds {path}: neither sequential, random, column, nor a splits_final.json. Correct the path."
        )
    return splits_final(file, cases)


def _count(choice: FoldChoice, cases: Sequence[Case]) -> int:
    return choice.count if choice.count is not None else max(2, min(FOLDS, len(units(cases))))
