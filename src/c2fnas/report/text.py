"""Sentences of the report: what the run was asked for, its main figures, and how to repeat it."""

import json
import shlex
from collections.abc import Sequence

from c2fnas.data.folds import EVERY_CASE, Fold, fold_order
from c2fnas.evaluation.cross_validation import cross_validated, largest_gains
from c2fnas.files import read_json
from c2fnas.networks.baselines import Baseline
from c2fnas.networks.designs import Design
from c2fnas.planning.configuration import COUNTS
from c2fnas.report.fine import patch_cost
from c2fnas.report.summary import ReportSummary
from c2fnas.runs.overrides import value_at
from c2fnas.runs.summary import stage_tasks
from c2fnas.space.geometry import by
from c2fnas.text import large, plural, score

NO_VERDICT = (
    "No verdict was made: nothing here says whether the searched network is better than a plain one that was trained "
    "at equal cost."
)

OF_TRAINING = (
    *(f"deployment.recipe.{name}" for name in ("name", "precision", "iterations")),
    *("deployment.folds", "deployment.start", "width", "verdict"),
)
"""Fields that the options of `c2fnas train` set."""


def lead(run: ReportSummary) -> str:
    """Return what kind of run it is."""
    kind = "Training of a given network" if _only_trained(run) else "Coarse-to-fine architecture search"
    return f"{kind}, budget {run.config.budget}, seed {run.config.seed}."


def tasks(run: ReportSummary) -> list[str]:
    """Return what each stage was asked to do, a sentence each."""
    config = run.config.model_copy(update={"verdict": run.config.verdict or run.verdict is not None})
    folds = _folds(run)
    every_case = EVERY_CASE in folds
    found = stage_tasks(config, len(run.folds), len(folds) - every_case, every_case)
    sentences = [f"{name.capitalize()}: {task}." for name, task in found.items()]
    if _only_trained(run) and run.design is not None:
        sentences.insert(0, f"A given network was trained, nothing was searched: {run.design.to_text()}.")
    return sentences


def tiles(run: ReportSummary) -> list[tuple[str, str, str]]:
    """Return the figures at the top: value, name, and a remark."""
    found, evaluation = [], run.evaluation
    if evaluation is not None:
        classes = ", ".join(f"{name} {score(dice)}" for name, dice in evaluation.per_class.items())
        scored = ((each.fold, each.evaluation) for each in run.final.folds)
        scores = {fold: own for fold, own in scored if isinstance(fold, int) and own is not None}
        gains = largest_gains(cross_validated(scores)) if scores else ""
        remark = "; ".join(filter(None, [classes, plural(len(evaluation.cases), "case"), gains]))
        found.append((score(evaluation.mean), "mean Dice", remark))
    elif run.best_dice is not None:
        found.append((score(run.best_dice), "best Dice so far", "of a coarse candidate on the validation fold"))
    if run.architecture is not None and run.plan is not None:
        cost = patch_cost(run.architecture, run.plan)
        found.append((large(cost.parameters), "parameters", f"width {run.architecture.width:g}"))
        found.append((large(cost.macs), "multiply-accumulates", f"a patch of {by(run.plan.patch_size)} voxels"))
    return found


def repeatability(run: ReportSummary) -> str:
    """Return whether the command of :func:`repeat_command` gives the same network, and why not."""
    same = "The same command on the same data, with the same versions, the same kind of processor and as many cores,"
    reasons = []
    if any(device.startswith("cuda") for device in run.config.devices):
        reasons.append("GPU libraries add in varying order")
    if run.workers > 1 and not _only_trained(run):
        reasons.append("with several devices, the candidate that ends first decides what is tried next")
    if run.folder.taken.exists() and (taken := read_json(run.folder.taken)["cases"]) is not None:
        reasons.append(f"the time paid for {len(taken)} of the cases, and elsewhere may pay for more or fewer")
    if run.processes > 1:
        reasons.append(f"{run.processes} processes trained together, where the command starts one")
    if not reasons:
        return f"{same} gives the same network, bit for bit."
    return f"{same} need not give the same network: {'; '.join(reasons)}."


def repeat_command(run: ReportSummary) -> str:
    """Return the command that starts this run again in another folder.

    It names all that a time budget has derived from the machine's pace, which would be other numbers elsewhere.
    """
    config, recipe = run.config, run.config.deployment.recipe
    options = {"--budget": config.budget, "--seed": config.seed, "--devices": ",".join(config.devices)}
    if not _only_trained(run):
        return _command("run", [config.dataset_path, "NEW", *_fixed(run)], options)
    words = [config.dataset_path, "NEW", *_design(run.design), *_fixed(run)]
    if config.deployment.start:
        words += ["--from", str(run.folder.start_model)]
    options |= {
        "--recipe": recipe.name,
        "--precision": recipe.precision,
        "--iterations": recipe.iterations,
        "--folds": ",".join(map(str, _folds(run))),
    }
    return _command("train", words, options)


def _fixed(run: ReportSummary) -> list[str]:
    """The user's own values as options; of a time budget also its counts, its width and what it chose of the plan."""
    config, fixed = run.config, dict[str, object]()
    trained = _only_trained(run)
    if config.hours is not None and not trained:
        fixed |= {name: value_at(config, name) for name in (*COUNTS, "width")}
    if config.hours is not None and run.plan is not None and run.plan.spacing is not None:
        fixed |= {"plan.spacing": run.plan.spacing, "plan.patch_size": run.plan.patch_size}
    named = ("seed", *(OF_TRAINING if trained else ()))
    given = {name: value for name, value in config.overrides.items() if name not in named}
    fixed = {name: value for name, value in (fixed | given).items() if value is not None}
    return [word for name, value in fixed.items() for word in ("--set", f"{name}={json.dumps(value)}")]


def _command(name: str, words: Sequence[str], options: dict[str, object]) -> str:
    return shlex.join(["c2fnas", name, *words, *(str(word) for option in options.items() for word in option)])


def _design(design: Design | None) -> list[str]:
    if isinstance(design, Baseline):
        return ["--network", design.name, "--width", str(design.width)]
    return ["--architecture", design.to_text() if design else "ARCHITECTURE"]


def _folds(run: ReportSummary) -> list[Fold]:
    """Return the folds that the run began with and those that were asked for later."""
    return sorted({*run.final_folds, *(each.fold for each in run.final.folds)}, key=fold_order)


def _only_trained(run: ReportSummary) -> bool:
    return run.config.kind == "training"
