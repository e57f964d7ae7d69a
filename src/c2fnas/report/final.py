"""The deployed networks as a report shows them: their trainings, their packages and their validation cases."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from c2fnas.data.folds import Fold
from c2fnas.evaluation.metrics import CaseScores, Evaluation
from c2fnas.files import sha256
from c2fnas.inference.pretrained import SUMS, is_package
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.records.job_record import Curve, read_curve


@dataclass(frozen=True)
class FoldSummary:
    """The network of a fold (from 0), trained or under way.

    ``evaluation`` is None before it is finished, and of a network of every case. ``model`` is the folder of its
    package, ``checksum`` the SHA-256 of its ``SHA256SUMS``; None before there is one.
    """

    fold: Fold
    curve: Curve
    evaluation: Evaluation | None
    model: Path | None
    checksum: str | None


@dataclass(frozen=True)
class FinalSummary:
    """The deployment of a run, fold by fold."""

    folds: tuple[FoldSummary, ...]

    @property
    def finished(self) -> tuple[FoldSummary, ...]:
        """The folds with an evaluation."""
        return tuple(each for each in self.folds if each.evaluation is not None)

    @property
    def worst_first(self) -> tuple[tuple[FoldSummary, CaseScores], ...]:
        """Every case with a Dice and the fold that validated it, the lowest mean Dice first."""
        return tuple(pair for pair in self.every_case if case_dice(pair[1]) is not None)

    @property
    def every_case(self) -> tuple[tuple[FoldSummary, CaseScores], ...]:
        """The same, and behind them the cases in which no class counts."""
        pairs = [(each, row) for each in self.folds if each.evaluation for row in each.evaluation.cases]
        return tuple(sorted(pairs, key=lambda pair: _place(pair[1])))


def case_dice(row: CaseScores) -> float | None:
    """Return the mean Dice of a case over the classes that count in it; None where none does."""
    values = [value for value in row.dice.values() if value is not None]
    return sum(values) / len(values) if values else None


def _place(row: CaseScores) -> tuple[bool, float, str]:
    dice = case_dice(row)
    return dice is None, dice or 0.0, row.case


def summarise_final(folder: RunFolder, evaluations: Mapping[Fold, Evaluation]) -> FinalSummary:
    """Return the deployment of a run, begun or not; ``evaluations`` are those of finished folds."""
    return FinalSummary(tuple(_fold(folder, fold, evaluations.get(fold)) for fold in folder.begun_folds))


def _fold(folder: RunFolder, fold: Fold, evaluation: Evaluation | None) -> FoldSummary:
    model: Path | None = folder.final_model(fold)
    model = model if model and is_package(model) else None
    return FoldSummary(
        fold, read_curve(folder.final_fold(fold)), evaluation, model, sha256(model / SUMS) if model else None
    )
