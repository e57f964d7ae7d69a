"""Deployment (paper 4.1): the found architecture trained from scratch, one model per fold."""

from collections.abc import Sequence
from pathlib import Path

from c2fnas.errors import UserError
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job
from c2fnas.space.architecture import Architecture
from c2fnas.stages.drive import run_all
from c2fnas.stages.progress import Reporter
from c2fnas.stages.setting import Setting

STAGE = "deployment"


def train_final(
    setting: Setting, architecture: Architecture, folds: Sequence[int], executor: Executor, reporter: Reporter
) -> list[Path]:
    """Train ``architecture`` on each of ``folds``; returns the folders of the model packages.

    Raises:
        UserError: a fold could not be trained; the others' models are kept.
    """
    jobs = [_fold_job(setting, architecture, fold) for fold in folds]
    outcomes = run_all(executor, jobs, setting.folder, reporter, STAGE)
    failed = [outcome for outcome in outcomes if outcome.value is None]
    if failed:
        reasons = "; ".join(f"{outcome.job_id}: {outcome.failure}" for outcome in failed)
        raise UserError(f"{setting.folder.final}: {len(failed)} of {len(jobs)} folds could not be trained: {reasons}")
    return [setting.folder.final_model(fold) for fold in folds]


def _fold_job(setting: Setting, architecture: Architecture, fold: int) -> Job:
    payload = {"run": "../..", "architecture": architecture.to_json(), "fold": fold}
    return Job(f"fold {fold}", "c2fnas.stages.jobs:train_fold", payload, setting.folder.final_fold(fold))
