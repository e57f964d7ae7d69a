"""Deployment (paper 4.1): the found architecture trained from scratch, one model per fold."""

from collections.abc import Sequence
from pathlib import Path

from c2fnas.errors import UserError
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job
from c2fnas.files import write_json
from c2fnas.runs.folder import RunFolder
from c2fnas.space.architecture import Architecture
from c2fnas.stages.drive import run_all
from c2fnas.stages.progress import Reporter
from c2fnas.stages.setting import Setting

STAGE = "deployment"
ARCHITECTURE = "architecture.json"


def train_final(
    setting: Setting, architecture: Architecture, folds: Sequence[int], executor: Executor, reporter: Reporter
) -> list[Path]:
    """Train ``architecture`` on each of ``folds``; returns the folders of the model packages.

    Raises:
        UserError: a fold could not be trained, the others' models are kept; or another architecture lies there.
    """
    claim(setting.folder, architecture)
    jobs = [fold_job(setting, architecture, fold) for fold in folds]
    outcomes = run_all(executor, jobs, setting.folder, reporter, STAGE)
    failed = [outcome for outcome in outcomes if outcome.value is None]
    if failed:
        reasons = "; ".join(f"{outcome.job_id}: {outcome.failure}" for outcome in failed)
        raise UserError(f"{setting.folder.final}: {len(failed)} of {len(jobs)} folds could not be trained: {reasons}")
    return [setting.folder.final_model(fold) for fold in folds]


def claim(folder: RunFolder, architecture: Architecture) -> None:
    """Leave ``final/architecture.json``: all folds of a run are of one architecture.

    Raises:
        UserError: those that are there are of another one.
    """
    path = folder.final / ARCHITECTURE
    if not path.exists():
        write_json(path, architecture.to_json())
    elif Architecture.load(path) != architecture:
        raise UserError(
            f"{path}: the final networks of this run are of another architecture, {Architecture.load(path).to_text()}, "
            f"not {architecture.to_text()}. Choose another --run folder."
        )


def fold_job(setting: Setting, architecture: Architecture, fold: int) -> Job:
    """The training of one fold; its payload says all that an extension or another start changes."""
    deployment = setting.config.deployment
    payload = {
        "run": "../..", "architecture": architecture.to_json(), "fold": fold,
        "iterations": deployment.recipe.iterations, "extend": deployment.extended, "start": deployment.start,
    }  # fmt: skip
    return Job(f"fold {fold}", "c2fnas.stages.jobs:train_fold", payload, setting.folder.final_fold(fold))
