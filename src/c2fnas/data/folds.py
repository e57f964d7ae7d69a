"""Which cases train and which validate (paper 4.1: five folds, taken sequentially)."""

from collections.abc import Sequence
from dataclasses import dataclass

from c2fnas.data.dataset import Case
from c2fnas.errors import UserError


@dataclass(frozen=True)
class Split:
    """The cases of one fold by id."""

    training: tuple[str, ...]
    validation: tuple[str, ...]


def sequential_folds(cases: Sequence[Case], folds: int = 5) -> tuple[Split, ...]:
    """``folds`` contiguous parts in the manifest's order; each validates once. The paper searches with the last one.

    Raises:
        UserError: fewer cases than folds.
    """
    if len(cases) < folds or folds < 2:
        raise UserError(f"{len(cases)} cases cannot form {folds} folds; at least two cases, one for each fold, are needed.")
    ids = [case.id for case in cases]
    cuts = [fold * len(ids) // folds for fold in range(folds + 1)]
    parts = [tuple(ids[start:stop]) for start, stop in zip(cuts, cuts[1:], strict=False)]
    return tuple(Split(tuple(case for case in ids if case not in set(part)), part) for part in parts)
