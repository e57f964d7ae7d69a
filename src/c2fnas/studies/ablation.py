"""Table 3 (paper 5.1, 5.2): coarse winners, fine winners and those of other data sets, trained alike, fold by fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job
from c2fnas.files import read_json
from c2fnas.planning.train_wish import chosen_folds
from c2fnas.runs.folder import EVALUATION, RunFolder
from c2fnas.runs.lock import RunLock
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting
from c2fnas.runs.trial import Trial
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.studies.ledger_grid import LedgerGrid

STAGE = "ablation"

Point = tuple[str, int]
"""An architecture as text, and a fold."""


@dataclass(frozen=True)
class Trained:
    """An architecture in the setting of a run.

    Attributes:
        architecture: in the run's width.
        parameters: of the network.
        macs: multiply-accumulates of one patch.
        evaluations: by fold; those of folds that could not be trained are missing.
        failures: why not, by fold.
    """

    architecture: Architecture
    parameters: int
    macs: int
    evaluations: dict[int, Evaluation]
    failures: dict[int, str]


@dataclass(frozen=True)
class Column:
    """What all contenders came to on the data set of one run, by their names."""

    dataset: str
    run: Path
    folds: tuple[int, ...]
    recipe: str
    iterations: int
    width: float
    rows: dict[str, Trained]


def contenders(runs: Sequence[Path], further: Mapping[str, Architecture]) -> dict[str, Architecture]:
    """What the runs have found, ``C-`` their coarse winners and ``F-`` their fine ones as the paper names them.

    A run that has found nothing contributes its data set alone. Where several runs are of one data set, names have the
    run folder's besides.

    Raises:
        UserError: fewer than two architectures, two whose names can't be told apart, or a folder that is no run.
    """
    datasets = [Setting.load(run).config.dataset for run in runs]
    found: dict[str, Architecture] = {}
    for run, dataset in zip(runs, datasets, strict=True):
        alone = datasets.count(dataset) == 1
        for name, architecture in _winners(run, dataset if alone else f"{dataset} ({run.resolve().name})"):
            if name in found:
                raise UserError(
                    f"{run}: another run is called {run.resolve().name} too. Give each once, or rename one."
                )
            found[name] = architecture
    taken = sorted(found.keys() & further.keys())
    if taken:
        raise UserError(
            f"--architecture: {taken[0]} is the name of what a run has found. Rename the file, or give its text."
        )
    found |= further
    if len(found) < 2:
        raise UserError(
            f"{', '.join(map(str, runs))}: {len(found)} architectures found so far, and it takes two to compare. "
            "Finish the fine search, or name further runs or an --architecture."
        )
    return found


def refuse_unfit(runs: Sequence[Path], folds: str) -> None:
    """See that each of ``runs`` can be a column, before hours go into the first.

    Raises:
        UserError: one has no such fold, is another process's, fine-tunes a model, or was extended since its ablation
            began.
    """
    for run in runs:
        with RunLock(run):
            setting = Setting.load(run)
            chosen_folds(folds, len(setting.folds))
            _refuse_changed(_Ablation(setting, {}))


def _winners(run: Path, label: str) -> list[tuple[str, Architecture]]:
    folder = RunFolder(run)
    paths = (("C", folder.coarse / "architecture.json"), ("F", folder.fine / "architecture.json"))
    return [(f"{letter}-{label}", Architecture.load(path)) for letter, path in paths if path.exists()]


def ablate(
    setting: Setting,
    executor: Executor,
    reporter: Reporter,
    *,
    candidates: Mapping[str, Architecture],
    folds: Sequence[int],
) -> Column:
    """Train every candidate on every fold of a run, with its deployment recipe, seed and plan, in its width.

    Resumes from the ledger; the run's deployed networks count where they are the same trainings.

    Raises:
        UserError: the run trains otherwise than when the ablation began, or fine-tunes a model.
    """
    here = {name: replace(each, width=setting.config.width) for name, each in candidates.items()}
    points = {(each.to_text(), fold): each for fold in folds for each in here.values()}
    grid = _Ablation(setting, points)
    _refuse_changed(grid)
    trials = grid.run(executor, reporter)
    recipe = setting.config.deployment.recipe
    return Column(
        setting.config.dataset,
        setting.folder.root,
        tuple(folds),
        recipe.name,
        recipe.iterations,
        setting.config.width,
        {name: _trained(setting, each, folds, trials) for name, each in here.items()},
    )


class _Ablation(LedgerGrid[Point]):
    """Architectures and folds of one run."""

    stage = STAGE

    def point(self, trial: Trial) -> Point:
        return trial.architecture.to_text(), trial.extra["fold"]

    def facts(self, point: Point) -> dict[str, Any]:
        return {"fold": point[1], "iterations": self.setting.config.deployment.recipe.iterations}

    def job(self, trial: Trial) -> Job:
        payload = {
            "run": "../..",
            "architecture": trial.architecture.to_json(),
            "fold": trial.extra["fold"],
            "iterations": trial.extra["iterations"],
            "extend": False,
            "start": None,
        }
        folder = self.setting.folder.ablation_trial(trial.number)
        return Job(f"training {trial.number}", "c2fnas.studies.ablation_job:train_contender", payload, folder)

    def name(self, trial: Trial) -> str:
        return f"{trial.architecture.to_text()} on fold {trial.extra['fold']}"


def _trained(
    setting: Setting, architecture: Architecture, folds: Sequence[int], trials: Mapping[Point, Trial]
) -> Trained:
    cost = network_cost(
        architecture, in_channels=setting.in_channels, classes=setting.classes, input_size=setting.plan.patch_size
    )
    own = {fold: trials[architecture.to_text(), fold] for fold in folds}
    return Trained(
        architecture,
        cost.parameters,
        cost.macs,
        {
            fold: Evaluation.from_json(read_json(setting.folder.ablation_trial(trial.number) / EVALUATION))
            for fold, trial in own.items()
            if trial.score is not None
        },
        {fold: trial.reason or "" for fold, trial in own.items() if trial.score is None},
    )


def _refuse_changed(grid: _Ablation) -> None:
    """All trainings of a table are alike."""
    setting = grid.setting
    if setting.config.deployment.start:
        raise UserError(
            f"{setting.folder.root}: this run fine-tunes a model, and what is compared here is trained from scratch. "
            "Choose a run that does so."
        )
    grid.refuse_another_length()
