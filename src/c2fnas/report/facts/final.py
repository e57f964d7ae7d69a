"""The deployed networks as a report needs them: what they are, how they were trained, how good they are."""

from dataclasses import dataclass
from pathlib import Path

from c2fnas.evaluation.metrics import CaseScores, Evaluation, summarise
from c2fnas.files import read_json, sha256
from c2fnas.inference.package import SUMS, is_package
from c2fnas.networks.designs import Design, has_design, read_design
from c2fnas.report.facts.jobs import Curve, read_curve, result_of
from c2fnas.runs.folder import EVALUATION, RunFolder


@dataclass(frozen=True)
class FoldFacts:
    """The network of a fold (from 0), trained or under way.

    ``evaluation`` is None before it is finished. ``model`` is the folder of its package, ``checksum`` the SHA-256 of
    its ``SHA256SUMS``; None where there is none yet.
    """

    fold: int
    curve: Curve
    evaluation: Evaluation | None
    model: Path | None
    checksum: str | None


@dataclass(frozen=True)
class FinalFacts:
    """The deployment of a run: the design that was trained (None before it begins) and its folds."""

    design: Design | None
    folds: tuple[FoldFacts, ...]

    @property
    def finished(self) -> tuple[FoldFacts, ...]:
        """The folds with an evaluation."""
        return tuple(each for each in self.folds if each.evaluation is not None)

    @property
    def evaluation(self) -> Evaluation | None:
        """All validation cases of all finished folds together: each was predicted by a network that never saw it."""
        rows = [row for _, row in self._validated]
        return summarise(rows) if rows else None

    @property
    def worst_first(self) -> tuple[tuple[FoldFacts, CaseScores], ...]:
        """Every case with a Dice and the fold that validated it, the lowest mean Dice first."""
        scored = [pair for pair in self._validated if case_dice(pair[1]) is not None]
        return tuple(sorted(scored, key=lambda pair: (case_dice(pair[1]), pair[1].case)))

    @property
    def every_case(self) -> tuple[tuple[FoldFacts, CaseScores], ...]:
        """The same, and behind them the cases in which no class counts."""
        unscored = [pair for pair in self._validated if case_dice(pair[1]) is None]
        return *self.worst_first, *sorted(unscored, key=lambda pair: pair[1].case)

    @property
    def _validated(self) -> list[tuple[FoldFacts, CaseScores]]:
        return [(each, row) for each in self.folds if each.evaluation for row in each.evaluation.cases]


def case_dice(row: CaseScores) -> float | None:
    """The mean Dice of a case over the classes that count in it; None where none does."""
    values = [value for value in row.dice.values() if value is not None]
    return sum(values) / len(values) if values else None


def read_final(folder: RunFolder) -> FinalFacts:
    """The deployment of a run, begun or not."""
    design = read_design(folder.final) if has_design(folder.final) else None
    paths = sorted(folder.final.glob("fold-*"), key=lambda path: int(path.name.removeprefix("fold-")))
    return FinalFacts(design, tuple(_fold(folder, int(path.name.removeprefix("fold-"))) for path in paths))


def _fold(folder: RunFolder, fold: int) -> FoldFacts:
    place, model = folder.final_fold(fold), folder.final_model(fold)
    # An evaluation without the job's result is one of a training that is being extended.
    done = result_of(place) is not None and (place / EVALUATION).exists()
    package = model if is_package(model) else None
    return FoldFacts(
        fold,
        read_curve(place),
        Evaluation.from_json(read_json(place / EVALUATION)) if done else None,
        package,
        sha256(model / SUMS) if package else None,
    )
