"""Folds: which cases train and which validate. A group (a patient's several scans, say) never stands on both sides."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from c2fnas.data.dataset import Case, Dataset, LabelClass
from c2fnas.data.problem import Problem
from c2fnas.errors import UserError
from c2fnas.files import read_json

SPLITS = "splits_final.json"


@dataclass(frozen=True)
class Split:
    """The ids of the cases that train and of those that validate, in the manifest's order."""

    training: tuple[str, ...]
    validation: tuple[str, ...]


@dataclass(frozen=True)
class ClassCounts:
    """Cases of one fold in which each class occurs, by class index (the background included)."""

    training: tuple[int, ...]
    validation: tuple[int, ...]


def sequential_folds(cases: Sequence[Case], folds: int = 5) -> tuple[Split, ...]:
    """Folds of neighbours in the manifest's order, as the paper takes them: five, the last validates (4.1).

    Sizes differ by one at most, larger ones first. Where cases have groups, groups are counted instead.

    Raises:
        UserError: there are fewer cases, or groups, than folds.

    >>> [split.validation for split in sequential_folds([Case(name, (), None) for name in "abcde"], folds=2)]
    [('a', 'b', 'c'), ('d', 'e')]
    """
    return _folds(cases, units(cases), folds)


def random_folds(cases: Sequence[Case], folds: int = 5, seed: int = 0) -> tuple[Split, ...]:
    """Folds of cases, or groups, in an order drawn from ``seed``.

    Raises:
        UserError: there are fewer cases, or groups, than folds.
    """
    together = units(cases)
    order = np.random.default_rng(seed).permutation(len(together))
    return _folds(cases, [together[index] for index in order], folds)


def column_folds(cases: Sequence[Case]) -> tuple[Split, ...]:
    """The folds that the cases name themselves, ascending; a case without a fold trains in every one.

    Raises:
        UserError: no case names a fold, a fold leaves nothing to train on, or it splits a group.
    """
    numbers = sorted({case.fold for case in cases if case.fold is not None})
    if not numbers:
        raise UserError("No case names a fold. Add a column `fold` to the CSV, or choose sequential or random folds.")
    splits = tuple(_split(cases, {case.id for case in cases if case.fold == number}) for number in numbers)
    check_splits(splits, cases)
    return splits


def splits_final(path: Path, cases: Sequence[Case]) -> tuple[Split, ...]:
    """The folds of nnU-Net's ``splits_final.json``: a list of ``{"train": [...], "val": [...]}``.

    Raises:
        UserError: the file is no such list, names unknown cases, or has a case or a group on both sides.
    """
    content = read_json(path)
    try:
        splits = tuple(Split(tuple(map(str, each["train"])), tuple(map(str, each["val"]))) for each in content)
    except (TypeError, KeyError) as error:
        raise UserError(
            f'{path}: not nnU-Net\'s splits. Expected a list of {{"train": [...], "val": [...]}}.'
        ) from error
    check_splits(splits, cases, str(path))
    return splits


def find_splits_final(dataset: Dataset, path: Path) -> Path | None:
    """nnU-Net's ``splits_final.json`` of a data set: the file itself, its folder, or nnU-Net's preprocessed data."""
    places = (path, path / SPLITS, path / dataset.root.resolve().name / SPLITS)
    return next((place for place in places if place.is_file()), None)


def group_cases(cases: Iterable[Case], pattern: str) -> tuple[Case, ...]:
    """The cases, grouped by what the first parenthesis of a regular expression matches at the start of their ids.

    Raises:
        UserError: the expression is invalid, has no parenthesis, or an id doesn't match.

    >>> [case.group for case in group_cases([Case("A_17_ED", (), None)], "(.+)_E[DS]")]
    ['A_17']
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--group-by {pattern}: not a regular expression ({error}). Example: '(.+)_E[DS]'.") from error
    if expression.groups < 1:
        raise UserError(f"--group-by {pattern}: put the part that names the group in parentheses, as in '(.+)_E[DS]'.")
    return tuple(replace(case, group=_group(case.id, expression)) for case in cases)


def units(cases: Sequence[Case]) -> tuple[frozenset[str], ...]:
    """What stays together, in the order of first appearance: a group's cases, or a case alone."""
    found: dict[tuple[bool, str], set[str]] = {}
    for case in cases:
        found.setdefault((case.group is not None, case.group or case.id), set()).add(case.id)
    return tuple(frozenset(unit) for unit in found.values())


def shared_groups(cases: Sequence[Case]) -> dict[str, str]:
    """The group of every case that shares it with another one, by the case's id.

    >>> shared_groups([Case("a", (), None, "p"), Case("b", (), None, "p"), Case("c", (), None, "q")])
    {'a': 'p', 'b': 'p'}
    """
    sizes = Counter(case.group for case in cases)
    return {case.id: case.group for case in cases if case.group is not None and sizes[case.group] > 1}


def check_splits(splits: Sequence[Split], cases: Sequence[Case], source: str = "") -> None:
    """See that splits hold known cases only, none of them, and none of a group, on both sides.

    ``source`` is the file they come from, for messages.

    Raises:
        UserError: they don't.
    """
    groups = {case.id: case.group or case.id for case in cases}
    of = f"{source}: " if source else ""
    for number, split in enumerate(splits):
        unknown = sorted({*split.training, *split.validation} - groups.keys())
        if unknown:
            raise UserError(
                f"{of}fold {number} names {_some(unknown)}, which the data set doesn't have. Remove it or add it."
            )
        if not split.training or not split.validation:
            side = "validate on" if split.training else "train on"
            raise UserError(f"{of}fold {number} has no case to {side}. Give every fold both.")
        both = sorted({groups[case] for case in split.training} & {groups[case] for case in split.validation})
        if both:
            raise UserError(
                f"{of}fold {number} has {_some(both)} in training and in validation. "
                "Put all cases of a group into one fold."
            )


def class_counts(
    splits: Sequence[Split], present: Mapping[str, Iterable[int]], classes: int
) -> tuple[ClassCounts, ...]:
    """How many cases of each fold's two sides hold each class. ``present`` gives the class indices in a case."""
    occurs = {case: frozenset(indices) for case, indices in present.items()}

    def count(cases: Iterable[str]) -> tuple[int, ...]:
        known = [occurs[case] for case in cases if case in occurs]
        return tuple(sum(index in indices for indices in known) for index in range(classes))

    return tuple(ClassCounts(count(split.training), count(split.validation)) for split in splits)


def missing_classes(counts: Sequence[ClassCounts], classes: Sequence[LabelClass], file: object) -> tuple[Problem, ...]:
    """A warning for every class that one side of a fold lacks, with the cases that hold each class.

    A class that no case has at all is no matter of folds. ``file`` is what the warnings name.
    """
    exists = [any(count.training[index] + count.validation[index] for count in counts) for index in range(len(classes))]
    return tuple(
        Problem(
            "",
            str(file),
            f"no {side} case of fold {number} holds {each.name!r} ({_table(cases, classes)})",
            "every class on both sides of every fold",
            "Choose other folds (random with another seed, or a fold column), or add cases.",
            "warning",
        )
        for number, count in enumerate(counts)
        for side, cases in (("training", count.training), ("validation", count.validation))
        for index, each in enumerate(classes)
        if index > 0 and exists[index] and cases[index] == 0
    )


def _folds(cases: Sequence[Case], together: Sequence[frozenset[str]], folds: int) -> tuple[Split, ...]:
    if folds < 2 or len(together) < folds:
        what = ("group" if any(case.group for case in cases) else "case") + ("s" if len(together) != 1 else "")
        raise UserError(
            f"{len(together)} {what} can't be divided into {folds} folds: at least two folds are needed, and a case "
            "for each. Add cases, or ask for fewer folds."
        )
    smaller, larger = divmod(len(together), folds)
    ends = np.cumsum([smaller + (fold < larger) for fold in range(folds)]).tolist()
    return tuple(
        _split(cases, frozenset().union(*together[start:end])) for start, end in zip([0, *ends], ends, strict=False)
    )


def _split(cases: Sequence[Case], validation: Iterable[str]) -> Split:
    held = frozenset(validation)
    return Split(
        tuple(case.id for case in cases if case.id not in held), tuple(case.id for case in cases if case.id in held)
    )


def _group(case: str, expression: re.Pattern[str]) -> str:
    match = expression.match(case)
    if match is None or match.group(1) is None:
        raise UserError(f"--group-by {expression.pattern}: the case {case} doesn't match. Every case id has to.")
    return str(match.group(1))


def _some(names: Sequence[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def _table(cases: Sequence[int], classes: Sequence[LabelClass]) -> str:
    counts = ", ".join(f"{each.name} {count}" for each, count in list(zip(classes, cases, strict=True))[1:])
    return f"cases per class: {counts}"
