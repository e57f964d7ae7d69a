"""Deployment (paper 4.1): the found architecture trained from scratch, one model per fold."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from c2fnas.data.folds import EVERY_CASE, Fold
from c2fnas.errors import UserError
from c2fnas.evaluation.cross_validation import cross_validated, largest_gains
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.execution.call import finished
from c2fnas.execution.job import Job
from c2fnas.files import write_json
from c2fnas.inference.package import store_keep_largest
from c2fnas.networks.designs import Design, design_file, first_design, has_design, read_design
from c2fnas.planning.run_timings import expected_timings, paced
from c2fnas.planning.schedule import derives, fix_counts
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.freeze import frozen_by
from c2fnas.runs.overrides import with_values
from c2fnas.runs.records.job_record import evaluation_in
from c2fnas.runs.run import Run
from c2fnas.stages.training_jobs import TrainingSpec, failure_of, run_all, training_job
from c2fnas.training.metrics_log import EVERY

STAGE, MEASURED = "deployment", "measured steps"
MEASURED_SHARE, MEASURED_SECONDS = 0.04, 60.0
"""The part of a budget, and the most of it, for steps that are only measured."""


@dataclass(frozen=True)
class Deployed:
    """The deployed network: a model package and an evaluation per fold; None where Dice is unknown."""

    design: Design
    folds: tuple[Fold, ...]
    models: tuple[Path, ...]
    evaluations: tuple[Evaluation | None, ...]


def deploy(run: Run, design: Design, folds: Sequence[Fold]) -> Deployed:
    """Train the network of ``design`` on each of ``folds`` and leave a model package of each.

    Raises:
        UserError: a fold could not be trained, the others' models are kept; or those of another design lie there.
    """
    if {*folds} != {*run.final_folds} and not frozen_by("deployment.recipe.iterations", run.folder):
        run.configure(with_values(run.config, {"deployment.folds": tuple(folds)}))  # whose counts they share
    _measure_steps(run, design, folds)
    planned = run.config.deployment.recipe.iterations
    fix_counts(run, STAGE, design)
    if (found := run.config.deployment.recipe.iterations) != planned:
        run.reporter.say(f"Deployment: {found} iterations, by what was measured and what is left of the budget.")
    claim(run.folder, design)
    jobs = [fold_job(run, design, fold) for fold in folds]
    outcomes = run_all(run, STAGE, jobs)
    failed = [outcome for outcome in outcomes if outcome.value is None]
    if failed:
        reasons = "; ".join(f"{outcome.job_id}: {outcome.failure}" for outcome in failed)
        raise UserError(f"{run.folder.final}: {len(failed)} of {len(jobs)} folds could not be trained: {reasons}")
    for outcome in outcomes:
        if reason := failure_of(outcome):
            run.reporter.say(f"{outcome.job_id}: the model is kept. {reason}")
    choose_components(run)
    return deployed(run, design, folds)


def _measure_steps(run: Run, design: Design, folds: Sequence[Fold]) -> None:
    """Train the network for a few seconds where a time budget has not trained it yet, to know how fast it really is.

    Multiply-accumulates do not tell: those of 2D and P3D operations take longer. Steps on noise were timed before, in a
    process of their own; here patches come from the cases. It has the cores that each of the folds will have.
    """
    if paced(run, design) or not derives(run, STAGE, design):
        return
    assert run.config.seconds is not None
    recipe = run.config.deployment.recipe
    seconds = min(MEASURED_SHARE * run.config.seconds, MEASURED_SECONDS)
    timings = expected_timings(run, design).beside(len(folds), run.executor.slots)
    until = max(EVERY, int(seconds / (recipe.batch_size * timings.patch)) // EVERY * EVERY)
    spec = TrainingSpec(design, recipe, fold=folds[0], seed=run.config.seed, until=until, cases=1)
    run_all(run, MEASURED, [training_job(run, MEASURED, run.folder.measured, spec)], together=len(folds))


def deployed(run: Run, design: Design, folds: Sequence[Fold]) -> Deployed:
    """Return the trained models of ``folds`` with their evaluations."""
    models = tuple(run.folder.final_model(fold) for fold in folds)
    return Deployed(design, tuple(folds), models, tuple(evaluation_in(model.parent) for model in models))


def choose_components(run: Run) -> None:
    """Store with the models of all trained folds of which classes the largest component alone is kept in prediction.

    Cross-validation decides, see :class:`c2fnas.evaluation.cross_validation.FoldedDice`; no reported Dice has it.
    """
    folds = trained_folds(run) if run.config.deployment.keep_largest else ()
    scores = cross_validated({fold: evaluation_in(run.folder.final_fold(fold)) for fold in folds})
    if scores is None:
        return
    remark = f"{largest_gains(scores)}. Prediction does so by default, and no other Dice here has it."
    for fold in folds:
        store_keep_largest(run.folder.final_model(fold), scores.keep_largest, remark)


def is_deployed(run: Run) -> bool:
    """Return true if the network of every fold that the run asks for is trained."""
    return has_design(run.folder.final) and set(run.final_folds) <= set(trained_folds(run))


def trained_folds(run: Run) -> tuple[Fold, ...]:
    """Return the folds whose final network is trained as the run now says; not those that an extension left behind."""
    design = read_design(run.folder.final)
    return tuple(fold for fold in (*range(len(run.folds)), EVERY_CASE) if finished(fold_job(run, design, fold)))


def claim(folder: RunFolder, design: Design) -> None:
    """Leave the design in ``final``: all folds of a run are of one.

    Raises:
        UserError: those that are there are of another one.
    """
    found = first_design(folder.final)
    if found is None:
        write_json(folder.final / design_file(design), design.to_json())
    elif found != design:
        raise UserError(
            f"{folder.final / design_file(found)}: the final networks of this run are of another architecture, "
            f"{found.to_text()}, not {design.to_text()}. Choose another run folder."
        )


def fold_job(run: Run, design: Design, fold: Fold) -> Job:
    """Return the training of one fold."""
    return training_job(run, f"fold {fold}", run.folder.final_fold(fold), final_spec(run, design, fold))


def final_spec(run: Run, design: Design, fold: Fold) -> TrainingSpec:
    """Return the training of a final network: what an extension or another start changes is in it."""
    deployment = run.config.deployment
    return TrainingSpec(
        design,
        deployment.recipe,
        fold=fold,
        seed=run.config.seed,
        mirror=True,
        extend=deployment.extended,
        start=deployment.start,
        keep="model",
    )


def scratch_spec(run: Run, design: Design, fold: Fold) -> TrainingSpec:
    """Return a training like the final networks', from scratch and with one schedule: what comparisons train."""
    deployment = run.config.deployment
    return TrainingSpec(design, deployment.recipe, fold=fold, seed=run.config.seed, mirror=True, keep="package")
