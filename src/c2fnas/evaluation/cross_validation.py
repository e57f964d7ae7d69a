"""Cross-validation: the Dice of a data set's folds together, per class, and the spread between folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from statistics import stdev
from typing import Any

from c2fnas.data.folds import Fold
from c2fnas.evaluation.metrics import Evaluation, summarise

FEWEST_FOLDS = 3
"""Folds by which it is decided to keep the largest component of a class alone."""


@dataclass(frozen=True)
class FoldedDice:
    """Dice over the validation cases of several folds.

    Attributes:
        dice: mean over the cases of all folds; None where no case has the class, in truth or prediction.
        spread: standard deviation of the folds' own means; None with fewer than two.
        folds: those means, in the order of the folds.
        largest: the Dice with the largest component of the class alone, where three folds at least say that it helps:
            more in the mean over all cases, and in no fold less. It is in no other figure.
    """

    dice: float | None
    spread: float | None
    folds: tuple[float | None, ...]
    largest: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        gained = {} if self.largest is None else {"largest": self.largest}
        return {"dice": self.dice, "spread": self.spread, "folds": list(self.folds), **gained}


@dataclass(frozen=True)
class CrossValidation:
    """A data set's folds together: each class, and the mean over classes."""

    folds: tuple[int, ...]
    cases: int
    per_class: dict[str, FoldedDice]
    mean: FoldedDice

    @property
    def keep_largest(self) -> tuple[str, ...]:
        """The classes of which the largest component alone is better."""
        return tuple(name for name, each in self.per_class.items() if each.largest is not None)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        return {
            "folds": list(self.folds),
            "cases": self.cases,
            "mean": self.mean.to_json(),
            "classes": [{"name": name, **score.to_json()} for name, score in self.per_class.items()],
        }


def largest_gains(scores: CrossValidation) -> str:
    """Return what cross-validation gains by the largest component alone, class by class, as text; empty for nothing."""
    gains = [(name, each) for name, each in scores.per_class.items() if each.largest is not None]
    shown = ", ".join(f"{name} {each.dice:.4f} to {each.largest:.4f}" for name, each in gains)
    return f"the largest component alone takes Dice from {shown} over {len(scores.folds)} folds" if gains else ""


def cross_validated(
    evaluations: Mapping[int, Evaluation | None] | Mapping[Fold, Evaluation | None],
) -> CrossValidation | None:
    """Return the evaluations of a data set's folds, by fold, as one; None where none of them has a Dice.

    Every case counts once for each fold that it validates, so a larger fold weighs more; the spread is that between
    folds, as a table of five trainings has it.
    """
    scored = {fold: each for fold, each in evaluations.items() if isinstance(fold, int) and each is not None}
    if not scored:
        return None
    folds = sorted(scored)
    ordered = [scored[fold] for fold in folds]
    together = summarise([case for evaluation in ordered for case in evaluation.cases])
    per_class = {
        name: _folded(dice, [evaluation.per_class[name] for evaluation in ordered], _gained(name, ordered))
        for name, dice in together.per_class.items()
    }
    mean = _folded(together.mean, [evaluation.mean for evaluation in ordered])
    return CrossValidation(tuple(folds), len(together.cases), per_class, mean)


def _folded(dice: float | None, folds: Sequence[float | None], largest: float | None = None) -> FoldedDice:
    present = [value for value in folds if value is not None]
    return FoldedDice(dice, stdev(present) if len(present) > 1 else None, tuple(folds), largest)


def _gained(name: str, evaluations: Sequence[Evaluation]) -> float | None:
    """The Dice of a class with its largest component alone, where that helps; else None."""
    if len(evaluations) < FEWEST_FOLDS or any(case.largest is None for each in evaluations for case in each.cases):
        return None
    rows = [[case for case in each.cases if case.dice[name] is not None] for each in evaluations]
    pairs = [[(case.dice[name] or 0.0, (case.largest or {})[name] or 0.0) for case in fold] for fold in rows]
    folds = [fsum(after - before for before, after in fold) for fold in pairs]
    after = [after for fold in pairs for _, after in fold]
    return sum(after) / len(after) if sum(folds) > 0 and min(folds) >= 0 else None
