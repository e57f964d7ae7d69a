"""Deployment (paper 4.1): the found architecture trained from scratch, one model per fold."""

from collections.abc import Sequence
from pathlib import Path

from c2fnas.errors import UserError
from c2fnas.execution.call import finished
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job
from c2fnas.files import write_json
from c2fnas.networks.designs import Design, design_file, has_design, read_design
from c2fnas.runs.driver import run_all
from c2fnas.runs.folder import EVALUATION, RunFolder
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting

STAGE = "deployment"


def train_final(
    setting: Setting, design: Design, folds: Sequence[int], executor: Executor, reporter: Reporter
) -> list[Path]:
    """Train the network of ``design`` on each of ``folds``; returns the folders of the model packages.

    Raises:
        UserError: a fold could not be trained, the others' models are kept; or those of another one lie there.
    """
    claim(setting.folder, design)
    jobs = [fold_job(setting, design, fold) for fold in folds]
    outcomes = run_all(executor, jobs, setting.folder, reporter, STAGE)
    failed = [outcome for outcome in outcomes if outcome.value is None]
    if failed:
        reasons = "; ".join(f"{outcome.job_id}: {outcome.failure}" for outcome in failed)
        raise UserError(f"{setting.folder.final}: {len(failed)} of {len(jobs)} folds could not be trained: {reasons}")
    return [setting.folder.final_model(fold) for fold in folds]


def is_deployed(setting: Setting) -> bool:
    """Whether the network of every fold that the run asks for is trained and evaluated."""
    folds = map(setting.folder.final_fold, setting.config.deployment.folds)
    return all((fold / EVALUATION).exists() for fold in folds)


def trained_folds(setting: Setting) -> tuple[int, ...]:
    """The folds whose final network is trained as the run now says; not those that an extension has left behind."""
    design = read_design(setting.folder.final)
    return tuple(fold for fold in range(len(setting.folds)) if finished(fold_job(setting, design, fold)))


def claim(folder: RunFolder, design: Design) -> None:
    """Leave the design in ``final``: all folds of a run are of one.

    Raises:
        UserError: those that are there are of another one.
    """
    if not has_design(folder.final):
        write_json(folder.final / design_file(design), design.to_json())
        return
    found = read_design(folder.final)
    if found != design:
        raise UserError(
            f"{folder.final / design_file(found)}: the final networks of this run are of another architecture, "
            f"{found.to_text()}, not {design.to_text()}. Choose another --run folder."
        )


def fold_job(setting: Setting, design: Design, fold: int) -> Job:
    """The training of one fold; its payload says all that an extension or another start changes."""
    deployment = setting.config.deployment
    payload = {
        "run": "../..",
        "architecture": design.to_json(),
        "fold": fold,
        "iterations": deployment.recipe.iterations,
        "extend": deployment.extended,
        "start": deployment.start,
    }
    return Job(f"fold {fold}", "c2fnas.stages.jobs:train_fold", payload, setting.folder.final_fold(fold))
