"""Table 3 (paper 5.1, 5.2): coarse winners, fine winners and those of other data sets, trained alike on every fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from c2fnas.data.folds import scored_folds
from c2fnas.errors import UserError
from c2fnas.evaluation.cross_validation import cross_validated
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.evaluation.pairs import Pair, corrected, paired
from c2fnas.execution.call import finished
from c2fnas.execution.job import Job
from c2fnas.files import write_json
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.lock import RunLock
from c2fnas.runs.records.job_record import evaluation_in
from c2fnas.runs.records.kept_folds import KeptFolds
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages.deployment import final_spec, fold_job, scratch_spec
from c2fnas.stages.training_jobs import failure_of, run_all, training_job
from c2fnas.studies.records import record, refuse_another_length

STAGE = "ablation"
TABLE = "table-3.json"

Point = tuple[str, int]
"""An architecture as text, and a fold."""


@dataclass(frozen=True)
class Trained:
    """An architecture, trained on folds of a run.

    Attributes:
        architecture: in the run's width.
        parameters: of the network.
        macs: multiply-accumulates of one patch.
        evaluations: by fold; folds without a Dice are missing.
        failures: the reasons for that, by fold.
    """

    architecture: Architecture
    parameters: int
    macs: int
    evaluations: dict[int, Evaluation]
    failures: dict[int, str]


@dataclass(frozen=True)
class Column:
    """All contenders on the data set of one run, by their names."""

    dataset: str
    run: Path
    folds: tuple[int, ...]
    recipe: str
    iterations: int
    width: float
    rows: dict[str, Trained]


def contenders(runs: Sequence[Path], further: Mapping[str, Architecture]) -> dict[str, Architecture]:
    """Return what the runs have found and ``further`` architectures, by name.

    ``C-`` stands for a coarse winner and ``F-`` for a fine one, as in the paper. A run that has found nothing
    contributes its data set alone. Where several runs are of one data set, the name of the run's folder is added.

    Raises:
        UserError: fewer than two architectures, two whose names can't be told apart, or a folder that is no run.
    """
    datasets = [Run.open(run).config.dataset for run in runs]
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
    """Refuse runs that can't be a column, before any of them is trained on.

    Raises:
        UserError: one has no such fold, is another process's, fine-tunes a model, or was extended since its ablation
            began.
    """
    for root in runs:
        with RunLock(root):
            run = Run.open(root)
            scored_folds(folds, len(run.folds))
            _refuse_changed(run)


def ablate(run: Run, candidates: Mapping[str, Architecture], folds: Sequence[int]) -> Column:
    """Train every candidate on every fold of a run, with its deployment recipe, seed and plan, in its width.

    A training that has ended is not done again, and a deployed network of the run counts where it is the same training.

    Raises:
        UserError: the run trains otherwise than when the ablation began, or fine-tunes a model.
    """
    _refuse_changed(run)
    here = {name: replace(each, width=run.width) for name, each in candidates.items()}
    points = {(each.to_text(), fold): each for fold in folds for each in here.values()}
    jobs = {point: _job(run, each, point[1]) for point, each in points.items()}
    names = {job.id: point for point, job in jobs.items()}

    def settle(outcome: Any) -> None:
        text, fold = names[outcome.job_id]
        record(run, STAGE, points[text, fold], outcome, {"fold": fold})
        if reason := failure_of(outcome):
            run.reporter.say(f"{text} on fold {fold} failed and is left out: {reason}")

    outcomes = dict(zip(jobs, run_all(run, STAGE, [*jobs.values()], settle), strict=True))
    failures = {point: reason for point, outcome in outcomes.items() if (reason := failure_of(outcome))}
    recipe = run.config.deployment.recipe
    return Column(
        run.config.dataset,
        run.folder.root,
        tuple(folds),
        recipe.name,
        recipe.iterations,
        run.width,
        {name: _trained(run, each, folds, jobs, failures) for name, each in here.items()},
    )


def write_table_3(columns: Sequence[Column], run: Path) -> dict[str, Any]:
    """Return the table as JSON; it is left in the ablation's folder of ``run`` too."""
    table = {"data_sets": [_column(column) for column in columns]}
    write_json(RunFolder(run).ablation / TABLE, table)
    return table


def _winners(root: Path, label: str) -> list[tuple[str, Architecture]]:
    """The networks that a run has found, without the default ones of stages that it left out."""
    folder, config = RunFolder(root), Run.open(root).config
    paths = (
        ("C", folder.coarse_architecture, config.coarse.evaluations),
        ("F", folder.fine_architecture, config.fine.candidates),
    )
    found = [(letter, path) for letter, path, tried in paths if config.kind == "search" and tried and path.exists()]
    return [(f"{letter}-{label}", Architecture.load(path)) for letter, path in found]


def _job(run: Run, architecture: Architecture, fold: int) -> Job:
    """The training of an architecture on a fold; the deployed network's own where that is the same training."""
    spec, deployed = scratch_spec(run, architecture, fold), fold_job(run, architecture, fold)
    if final_spec(run, architecture, fold) == replace(spec, keep="model") and finished(deployed):
        return deployed
    name = f"{architecture.to_text().replace(':', '').replace(' ', '-')}-fold-{fold}"
    return training_job(run, f"ablation {name}", run.folder.ablation / name, spec)


def _trained(
    run: Run, architecture: Architecture, folds: Sequence[int], jobs: Mapping[Point, Job], failures: Mapping[Point, str]
) -> Trained:
    cost, text = run.cost(architecture), architecture.to_text()
    evaluations = {fold: evaluation_in(jobs[text, fold].folder) for fold in folds if (text, fold) not in failures}
    return Trained(
        architecture,
        cost.parameters,
        cost.macs,
        {fold: evaluation for fold, evaluation in evaluations.items() if evaluation is not None},
        {fold: failures[text, fold] for fold in folds if (text, fold) in failures},
    )


def _refuse_changed(run: Run) -> None:
    """Refuse a run whose trainings would not be alike."""
    if run.config.deployment.start:
        raise UserError(
            f"{run.folder.root}: this run fine-tunes a model, and what is compared here is trained from scratch. "
            "Choose a run that does so."
        )
    refuse_another_length(run, STAGE)


def _column(column: Column) -> dict[str, Any]:
    folder = RunFolder(column.run)
    known = {"groups": KeptFolds.load(folder.folds).groups, "margin": RunConfig.load(folder.config).margin}
    pairs = [_pair(column, known, *names) for names in combinations(column.rows, 2)]
    told = iter(corrected([each for each in pairs if isinstance(each, Pair)]))
    return {
        "data_set": column.dataset,
        "run": column.run.resolve().name,
        "folds": list(column.folds),
        "recipe": column.recipe,
        "iterations": column.iterations,
        "width": column.width,
        "rows": [_row(name, trained) for name, trained in column.rows.items()],
        "differences": [next(told).to_json() | {"same": False} if isinstance(each, Pair) else each for each in pairs],
    }


def _row(name: str, trained: Trained) -> dict[str, Any]:
    """An architecture; without ``mean`` and ``classes`` where no fold has a Dice."""
    scores = cross_validated(trained.evaluations)
    return {
        "name": name,
        "architecture": trained.architecture.to_text(),
        "parameters": trained.parameters,
        "macs": trained.macs,
        "failures": [{"fold": fold, "reason": text} for fold, text in trained.failures.items()],
        **(scores.to_json() if scores else {"folds": []}),
    }


def _pair(column: Column, known: Mapping[str, Any], second: str, first: str) -> Pair | dict[str, Any]:
    """The later of two minus the earlier one, as "F" minus "C"; of the same network there is nothing to tell."""
    here, there = column.rows[first], column.rows[second]
    if here.architecture == there.architecture:
        alike = Pair(first, second, None, None).to_json()
        return alike | {"sentences": [f"{first} and {second}: the same network."], "same": True}
    ours, theirs = ({(fold, 0): each for fold, each in row.evaluations.items()} for row in (here, there))
    return paired((first, ours), (second, theirs), **known)
