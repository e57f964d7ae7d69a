"""Folds: the cases that train and those that validate. A group (a patient's scans, say) stands on one side only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np

from c2fnas.data.dataset import Case, Dataset, group_cases, shared_groups, units
from c2fnas.errors import UserError
from c2fnas.files import read_json
from c2fnas.text import some

SPLITS = "splits_final.json"
FOLDS = 5
"""The paper's number (4.1)."""
EVERY_CASE: Final = "every-case"
"""The fold that leaves no case out, nnU-Net's `all`: it trains on every one, so that none is left to score it."""
UNKNOWN = "Dice unknown: the network was trained on every case, so that none is left to score it"
Fold = int | Literal["every-case"]


@dataclass(frozen=True)
class Split:
    """The ids of the cases that train and of those that validate, in the manifest's order."""

    training: tuple[str, ...]
    validation: tuple[str, ...]


def case_ids(folds: Iterable[Split]) -> set[str]:
    """Return the ids of the cases of all folds."""
    return {case for split in folds for case in (*split.training, *split.validation)}


def sequential_folds(cases: Sequence[Case], folds: int = 5) -> tuple[Split, ...]:
    """Return folds of neighbours in the manifest's order, as the paper takes them: five, the last validates (4.1).

    Sizes differ by one at most, larger ones first. Where cases have groups, groups are counted instead.

    Raises:
        UserError: there are fewer cases, or groups, than folds.

    >>> [split.validation for split in sequential_folds([Case(name, (), None) for name in "abcde"], folds=2)]
    [('a', 'b', 'c'), ('d', 'e')]
    """
    return _folds(cases, units(cases), folds)


def random_folds(cases: Sequence[Case], folds: int = 5, seed: int = 0) -> tuple[Split, ...]:
    """Return folds of cases, or groups, in an order drawn from ``seed``.

    Raises:
        UserError: there are fewer cases, or groups, than folds.
    """
    together = units(cases)
    order = np.random.default_rng(seed).permutation(len(together))
    return _folds(cases, [together[index] for index in order], folds)


def column_folds(cases: Sequence[Case]) -> tuple[Split, ...]:
    """Return the folds that the cases name themselves, ascending; a case without a fold trains in every one.

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
    """Return the folds of nnU-Net's ``splits_final.json``: a list of ``{"train": [...], "val": [...]}``.

    Raises:
        UserError: the file is no such list, names unknown cases, or has a case or a group on both sides.
    """
    content = read_json(path)
    try:
        splits = tuple(Split(tuple(map(str, each["train"])), tuple(map(str, each["val"]))) for each in content)
        if not splits:
            raise ValueError("no fold")
    except (TypeError, KeyError, ValueError) as error:
        expected = 'a list of {"train": [...], "val": [...]}'
        raise UserError(f"{path}: not nnU-Net's splits. Expected {expected}.") from error
    check_splits(splits, cases, str(path))
    return splits


def find_splits_final(dataset: Dataset, path: Path) -> Path | None:
    """Return nnU-Net's ``splits_final.json`` of a data set: the file, its folder, or nnU-Net's preprocessed data."""
    places = (path, path / SPLITS, path / dataset.root.resolve().name / SPLITS)
    return next((place for place in places if place.is_file()), None)


def guided_folds(validation: Sequence[Sequence[str]], groups: Mapping[str, str]) -> frozenset[int]:
    """Return the folds on whose cases a search chooses: the last, and those that share a case or a group with it.

    Args:
        validation: Cases that validate, fold by fold.
        groups: The group of a case that has one.

    >>> sorted(guided_folds([["a"], ["b", "c"], ["c", "d"]], {}))
    [1, 2]
    """
    if not validation:
        return frozenset()
    chosen = {groups.get(case, case) for case in validation[-1]}
    alike = {fold for fold, cases in enumerate(validation) if chosen & {groups.get(case, case) for case in cases}}
    return frozenset({*alike, len(validation) - 1})


def check_splits(splits: Sequence[Split], cases: Sequence[Case], source: str = "") -> None:
    """Refuse splits that hold unknown cases, or a case or a group on both sides.

    ``source`` is the file they come from, for messages.
    """
    groups = {case.id: case.group or case.id for case in cases}
    for number, split in enumerate(splits):
        fold = f"{source}: fold {number}" if source else f"fold {number}"
        unknown = sorted({*split.training, *split.validation} - groups.keys())
        if unknown:
            raise UserError(f"{fold} names {some(unknown)}, which the data set doesn't have. Remove it or add it.")
        if not split.training or not split.validation:
            side = "validate on" if split.training else "train on"
            raise UserError(f"{fold} has no case to {side}. Give every fold both.")
        both = sorted({groups[case] for case in split.training} & {groups[case] for case in split.validation})
        if both:
            fix = "Put all cases of a group into one fold."
            raise UserError(f"{fold} has {some(both)} in training and in validation. {fix}")


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


@dataclass(frozen=True)
class FoldChoice:
    """The folds that are asked for; whatever is left open is decided by the data set.

    Attributes:
        by: ``sequential``, ``random``, ``column`` (the fold that each case names), or the path of nnU-Net's
            ``splits_final.json``. Open, it is the column where cases name folds, else sequential.
        count: the number of folds; open, it is five, or as many as there are cases or groups; a single one trains and
            nothing validates.
        group_by: a regular expression whose first parenthesis names the group in a case's id.
    """

    by: str | None = None
    count: int | None = None
    group_by: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the choice among ``values`` of a configuration's fields, by their dotted names.

        >>> FoldChoice.of({"folds.by": "random", "seed": 1}).by
        'random'
        """
        names = {name: name.removeprefix("folds.") for name in values if name.startswith("folds.")}
        return cls(**{field: values[name] for name, field in names.items()})

    @property
    def given(self) -> bool:
        """True if the user asks for anything."""
        return self != FoldChoice()


def make_folds(dataset: Dataset, choice: FoldChoice = FoldChoice(), seed: int = 0) -> tuple[Split, ...]:
    """Return the folds of a data set's training cases; ``seed`` is that of random ones.

    Raises:
        UserError: the folds can't be had: too few cases, an unknown kind, a group on both sides ...
    """
    try:
        return _chosen_folds(dataset, choice, seed)
    except UserError as error:
        raise UserError(f"{dataset.root}: {error}") from error


def chosen_groups(dataset: Dataset, choice: FoldChoice = FoldChoice()) -> dict[str, str]:
    """Return the group of every training case that shares it with another one, by the case's id.

    Raises:
        UserError: the expression that names groups is invalid, or an id doesn't match.
    """
    return shared_groups(_grouped(dataset, choice))


def refuse_undivided(dataset: Dataset, folds: Sequence[Split]) -> None:
    """Refuse folds that a search can't compare candidates on, since no case validates."""
    if not folds[-1].validation:
        what = "group" if dataset.training[1:] else "case"
        raise UserError(
            f"{dataset.root}: 1 {what} can't be divided into folds to train and to validate on, and a search compares "
            "networks on cases that they were not trained on. Add cases, or train one network with `c2fnas train`."
        )


def _chosen_folds(dataset: Dataset, choice: FoldChoice, seed: int) -> tuple[Split, ...]:
    cases = _grouped(dataset, choice)
    by = choice.by or ("column" if any(case.fold is not None for case in cases) else "sequential")
    if by in ("sequential", "random"):
        if choice.count is None and len(units(cases)) == 1:
            return (Split(tuple(case.id for case in cases), ()),)
        count = max(2, min(FOLDS, len(units(cases)))) if choice.count is None else choice.count
        return sequential_folds(cases, count) if by == "sequential" else random_folds(cases, count, seed)
    if choice.count is not None:
        raise UserError(f"--fold-count {choice.count}: the number of folds is that of {by}. Leave it out.")
    if by == "column":
        return column_folds(cases)
    file = find_splits_final(dataset, Path(by))
    if file is None:
        expected = "neither sequential, random, column, nor a splits_final.json"
        raise UserError(f"--folds (of train: --divide) {by}: {expected}. Correct the path.")
    return splits_final(file, cases)


def _grouped(dataset: Dataset, choice: FoldChoice) -> tuple[Case, ...]:
    return group_cases(dataset.training, choice.group_by) if choice.group_by is not None else dataset.training


def scored_folds(text: str | Sequence[int | str], count: int) -> tuple[int, ...]:
    """Return the folds that a text stands for, of networks that are compared by their Dice.

    Raises:
        UserError: there is no such fold, or it leaves no case to score by.
    """
    folds = tuple(fold for fold in chosen_folds(text, count) if isinstance(fold, int))
    if not folds or EVERY_CASE in text:
        raise UserError(f"--folds {EVERY_CASE}: no case is left to compare networks on. Give all, last, or numbers.")
    return folds


def fold_order(fold: Fold) -> tuple[bool, Fold]:
    """Return the key by which folds are sorted: by number, that of every case last."""
    return fold == EVERY_CASE, fold


def chosen_folds(text: str | Sequence[int | str], count: int) -> tuple[Fold, ...]:
    """Return the folds that ``all``, ``last``, ``every-case``, numbers or a list of these stand for.

    Raises:
        UserError: it is none of these, or there is no such fold.

    >>> chosen_folds("all", 3), chosen_folds("last", 3), chosen_folds("2,0,2", 3)
    ((0, 1, 2), (2,), (0, 2))
    >>> chosen_folds("every-case", 3), chosen_folds("every-case,last", 3)
    (('every-case',), (2, 'every-case'))
    """
    parts = [part.strip() for part in (text.split(",") if isinstance(text, str) else map(str, text))]
    named: dict[str, tuple[Fold, ...]] = {
        "all": tuple(range(count)),
        "last": (count - 1,),
        EVERY_CASE: (EVERY_CASE,),
        **{str(fold): (fold,) for fold in range(count)},
    }
    if not all(part in named for part in parts):
        numbers = f"numbers from 0 to {count - 1} such as 0,2"
        raise UserError(f"--folds {','.join(parts)}: give all, last, {numbers}, or {EVERY_CASE}.")
    return tuple(sorted({fold for part in parts for fold in named[part]}, key=fold_order))
