"""Cross-validation: the Dice of a data set's folds together, per class, and the spread between folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

from c2fnas.evaluation.metrics import Evaluation, summarise


@dataclass(frozen=True)
class FoldedDice:
    """Dice over the validation cases of several folds.

    Attributes:
        dice: mean over the cases of all folds; None where no case has the class, in truth or prediction.
        spread: standard deviation of the folds' own means; None with fewer than two.
        folds: those means, in the order of the folds.
    """

    dice: float | None
    spread: float | None
    folds: tuple[float | None, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        return {"dice": self.dice, "spread": self.spread, "folds": list(self.folds)}


@dataclass(frozen=True)
class CrossValidation:
    """A data set's folds together: each class, and the mean over classes."""

    folds: tuple[int, ...]
    cases: int
    per_class: dict[str, FoldedDice]
    mean: FoldedDice

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        return {
            "folds": list(self.folds),
            "cases": self.cases,
            "mean": self.mean.to_json(),
            "classes": [{"name": name, **score.to_json()} for name, score in self.per_class.items()],
        }


def cross_validated(evaluations: Mapping[int, Evaluation]) -> CrossValidation:
    """Return the evaluations of a data set's folds, by fold, as one.

    Every case counts once for each fold that it validates, so a larger fold weighs more; the spread is that between
    folds, as a table of five trainings has it.
    """
    ordered = [evaluations[fold] for fold in sorted(evaluations)]
    together = summarise([case for evaluation in ordered for case in evaluation.cases])
    per_class = {
        name: _folded(dice, [evaluation.per_class[name] for evaluation in ordered])
        for name, dice in together.per_class.items()
    }
    mean = _folded(together.mean, [evaluation.mean for evaluation in ordered])
    return CrossValidation(tuple(sorted(evaluations)), len(together.cases), per_class, mean)


def _folded(dice: float | None, folds: Sequence[float | None]) -> FoldedDice:
    present = [value for value in folds if value is not None]
    return FoldedDice(dice, stdev(present) if len(present) > 1 else None, tuple(folds))
