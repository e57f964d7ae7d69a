"""Folds with fewer cases: restricted to some, or drawn from them group by group."""

from collections.abc import Mapping, Sequence

import numpy as np

from c2fnas.data.folds import Split, case_ids


def restricted(splits: Sequence[Split], known: Sequence[Split]) -> tuple[Split, ...]:
    """Return ``splits`` without the cases that ``known`` ones do not have."""
    kept = case_ids(known)
    return tuple(
        Split(*(tuple(case for case in side if case in kept) for side in (split.training, split.validation)))
        for split in splits
    )


def drawn(splits: Sequence[Split], groups: Mapping[str, str], count: int, seed: int) -> tuple[Split, ...]:
    """Return the splits with about ``count`` of their cases: whole groups drawn by ``seed``, from every fold in turn.

    Cases that never validate are a part of their own. Of every part at least one group stays.

    >>> from c2fnas.data.dataset import Case
    >>> from c2fnas.data.folds import sequential_folds
    >>> folds = sequential_folds([Case(name, (), None) for name in "abcdef"], folds=2)
    >>> [len(split.validation) for split in drawn(folds, {}, 4, seed=0)]
    [2, 2]
    """
    validating = [split.validation for split in splits]
    rest = {case for split in splits for case in split.training} - {case for part in validating for case in part}
    order = np.random.default_rng(seed)
    parts = []
    for part in (*validating, tuple(sorted(rest))):
        members: dict[str, list[str]] = {}
        for case in part:
            members.setdefault(groups.get(case, case), []).append(case)
        parts.append([members[name] for name in order.permutation(sorted(members))])
    kept: set[str] = set()
    for turn in range(max(map(len, parts))):
        for units_of_part in parts:
            if turn < len(units_of_part) and (turn == 0 or len(kept) < count):
                kept.update(units_of_part[turn])
    return restricted(splits, [Split(tuple(kept), ())])
