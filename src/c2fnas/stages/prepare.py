"""Preparation: from a data set to a run folder that every stage can work in. Each step is done once and kept."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from c2fnas.cores import usable_cores
from c2fnas.data.cache import prepare_cases
from c2fnas.data.check import Problem, inspect_dataset
from c2fnas.data.dataset import Dataset
from c2fnas.data.fingerprint import Fingerprint, fingerprint_dataset
from c2fnas.data.fold_choice import FoldChoice, make_folds
from c2fnas.data.folds import Split
from c2fnas.data.layouts import Reading, read_dataset
from c2fnas.data.plan import Plan, differences, load_plan, refuse_unfit, save_plan
from c2fnas.data.problem import Severity
from c2fnas.errors import UserError
from c2fnas.files import read_json, sha256, write_json
from c2fnas.planning.configure import configure
from c2fnas.planning.memory_fit import MemoryFit, TrainingStep, available_memory
from c2fnas.planning.patch_size import NothingFits
from c2fnas.planning.plan import PLANNED_BATCH, make_plan
from c2fnas.planning.presets import Preset, load_preset
from c2fnas.planning.verdict_wish import ask_for_verdict, with_verdict
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting
from c2fnas.space.search_space import SearchSpace
from c2fnas.stages.folding import keep_folds
from c2fnas.training.precision import resolve_precision

SHOWN_PROBLEMS = 5


def prepare(
    dataset_path: Path,
    run: Path,
    budget: str,
    *,
    seed: int,
    devices: tuple[str, ...],
    reporter: Reporter,
    folds: FoldChoice = FoldChoice(),
    verdict: bool | None = None,
) -> Setting:
    """Check, fingerprint, plan, split, preprocess and configure; what an earlier call finished is kept.

    ``verdict``: whether to have one; None: as the budget or the run says.

    Raises:
        UserError: the data set has errors, or the run folder belongs to another data set, plan, folds, budget or seed.
    """
    folder, preset = RunFolder(run), with_verdict(load_preset(budget), verdict)
    _forget_draft(folder, budget, seed, folds)
    started = folder.config.exists()
    if started:
        _refuse_another(folder, RunConfig.load(folder.config), budget, seed)
        ask_for_verdict(folder, verdict)
    dataset, plan, splits = prepare_data(
        dataset_path, run, budget, seed=seed, devices=devices, reporter=reporter, folds=folds
    )
    if not started:
        configure(dataset, plan, splits, preset, folder, budget, seed, devices, reporter).save(folder.config)
    return Setting.load(run)


def prepare_data(
    dataset_path: Path,
    run: Path,
    budget: str,
    *,
    reporter: Reporter,
    seed: int = 0,
    devices: tuple[str, ...] = ("cpu",),
    folds: FoldChoice = FoldChoice(),
) -> tuple[Dataset, Plan, tuple[Split, ...]]:
    """Everything of :func:`prepare` but the configuration."""
    reading, folder = read_dataset(dataset_path), RunFolder(run)
    dataset = reading.sound(dataset_path)
    if not folder.folds.exists():
        make_folds(dataset, folds, seed)  # what can't be divided is refused before it is read
    plan = _planned(reading, folder, budget, devices, reporter)
    splits = keep_folds(dataset, known_fingerprint(folder), folder, folds, seed, reporter)
    _cache(dataset, plan, folder, reporter)
    return dataset, plan, splits


def prepare_plan(
    dataset_path: Path,
    run: Path,
    budget: str,
    *,
    reporter: Reporter,
    devices: tuple[str, ...] = ("cpu",),
    seed: int = 0,
    folds: FoldChoice = FoldChoice(),
) -> tuple[Dataset, Plan]:
    """Check and fingerprint a data set and make its plan, which may then be edited by hand; folds if asked for."""
    reading, folder = read_dataset(dataset_path), RunFolder(run)
    dataset = reading.sound(dataset_path)
    if folds.given:
        make_folds(dataset, folds, seed)  # what can't be divided is refused before it is read
    plan = _planned(reading, folder, budget, devices, reporter)
    if folds.given:
        keep_folds(dataset, known_fingerprint(folder), folder, folds, seed, reporter)
    return dataset, plan


def _planned(reading: Reading, folder: RunFolder, budget: str, devices: tuple[str, ...], reporter: Reporter) -> Plan:
    if not (folder.plan.exists() and folder.config.exists()):
        load_preset(budget)  # what is no budget is refused before the data set is read
    return _plan(_fingerprint(reading, folder, reporter), budget, folder, devices, reporter)


def _fingerprint(reading: Reading, folder: RunFolder, reporter: Reporter) -> Fingerprint:
    """The data set's fingerprint; an unchanged data set is neither checked nor read again."""
    dataset = reading.dataset
    if folder.fingerprint.exists():
        known = known_fingerprint(folder)
        if known.describes(dataset):
            return known
        raise UserError(
            f"{folder.root}: this run folder belongs to another data set, {known.name!r} with {len(known.cases)} "
            f"training cases, or the files in {dataset.root} have changed since. Choose another --run folder."
        )
    _check(reading, folder, reporter)
    cases = len(dataset.training)
    reporter.start("fingerprint", cases)
    fingerprint = fingerprint_dataset(
        dataset, workers=usable_cores(), progress=lambda done, total: reporter.update("fingerprint", done)
    )
    reporter.finish("fingerprint")
    write_json(folder.fingerprint, fingerprint.model_dump(mode="json"))
    return fingerprint


def _check(reading: Reading, folder: RunFolder, reporter: Reporter) -> None:
    """Refuse a data set with errors, other than in test cases, which no stage reads; keep the rest for the report."""
    dataset = reading.dataset
    reporter.start("check", len(dataset.training) + len(dataset.test))
    found = inspect_dataset(
        dataset, workers=usable_cores(), progress=lambda done, total: reporter.update("check", done)
    )
    problems = (*reading.problems, *found.problems)
    errors, warnings = _of("error", problems), _of("warning", problems)
    reporter.finish("check", f"{len(errors)} errors, {len(warnings)} warnings")
    hindering = _of("error", (*reading.problems, *(problem for each in found.training for problem in each.problems)))
    if hindering:
        raise UserError(_refusal(dataset, hindering))
    if errors:
        reporter.say(f"The errors are all in test cases, which a run doesn't read. {_hint(dataset)}")
    write_json(folder.check, {"problems": [problem.to_json() for problem in problems]})


def _refusal(dataset: Dataset, errors: list[Problem]) -> str:
    shown = "; ".join(f"{e.place}: found {e.found}, expected {e.expected}. {e.mend}" for e in errors[:SHOWN_PROBLEMS])
    more = f" ... and {len(errors) - SHOWN_PROBLEMS} more" if len(errors) > SHOWN_PROBLEMS else ""
    return f"{dataset.root}: {len(errors)} errors in the data set: {shown}{more} {_hint(dataset)}"


def _hint(dataset: Dataset) -> str:
    return f"`c2fnas check {dataset.root}` lists every one."


def _of(severity: Severity, problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity == severity]


def known_fingerprint(folder: RunFolder) -> Fingerprint:
    """The fingerprint in the run folder."""
    try:
        return Fingerprint.model_validate(read_json(folder.fingerprint))
    except ValidationError as error:
        raise UserError(
            f"{folder.fingerprint}: not a fingerprint of this version of c2fnas. Delete it to have the data set read "
            "again."
        ) from error


def _plan(
    fingerprint: Fingerprint, budget: str, folder: RunFolder, devices: tuple[str, ...], reporter: Reporter
) -> Plan:
    """The plan in the run folder, edited by hand or not; made from the fingerprint where there is none."""
    made = folder.plan.exists()
    if not made:
        preset = load_preset(budget)
        fits = _memory_fit(fingerprint, preset, devices, reporter)
        try:
            save_plan(make_plan(fingerprint, style=preset.plan, fits=fits), folder.plan)
        except NothingFits as error:
            raise UserError(
                f"{devices[0]}: {error} into {fits.available / 1e9:.1f} GB of memory. Free some, use another device, "
                "or choose a budget with a smaller width."
            ) from error
    plan = load_plan(folder.plan)
    refuse_unfit(plan, fingerprint, folder.plan)
    if made and not folder.config.exists() and load_preset(budget).plan == "paper":
        _tell_departures(plan, fingerprint, folder, reporter)
    return plan


def _tell_departures(plan: Plan, fingerprint: Fingerprint, folder: RunFolder, reporter: Reporter) -> None:
    """A plan that was made for another budget, or edited, stands; but the paper's to the letter it is not."""
    if others := differences(plan, make_plan(fingerprint, style="paper")):
        reporter.say(
            f"Warning: {folder.plan} was there already and differs from the paper's in {', '.join(others)}. Delete it "
            "to have the paper's."
        )


def _memory_fit(fingerprint: Fingerprint, preset: Preset, devices: tuple[str, ...], reporter: Reporter) -> MemoryFit:
    step = TrainingStep(
        in_channels=len(fingerprint.channels),
        classes=len(fingerprint.classes),
        patches=PLANNED_BATCH,
        precision=resolve_precision("auto", devices[0]),
    )
    return MemoryFit(SearchSpace(), preset.width_on(devices[0]), step, devices[0], available_memory(devices), reporter)


def _cache(dataset: Dataset, plan: Plan, folder: RunFolder, reporter: Reporter) -> None:
    reporter.start("prepare cases", len(dataset.training))
    prepare_cases(
        dataset.training,
        plan,
        folder.cache,
        workers=usable_cores(),
        progress=lambda done, total: reporter.update("prepare cases", done),
    )
    reporter.finish("prepare cases", "each case once, memory-mapped")


def _forget_draft(folder: RunFolder, budget: str, seed: int, folds: FoldChoice) -> None:
    """A configuration under which no stage has begun gives way to another wish: a plan edited after `prepare`, say."""
    begun = any(each.exists() for each in (folder.study, folder.coarse, folder.fine, folder.scale, folder.final))
    if folder.config.exists() and not begun:
        config = RunConfig.load(folder.config)
        if folds.given or any(found != asked for _, found, asked in _wishes(folder, config, budget, seed)):
            folder.config.unlink()


def _refuse_another(folder: RunFolder, config: RunConfig, budget: str, seed: int) -> None:
    """A run folder is one configuration from its first start on."""
    for name, found, asked in _wishes(folder, config, budget, seed):
        if found != asked:
            values = "" if name == folder.plan.name else f" ({found}, now {asked})"
            raise UserError(
                f"{folder.config}: this run was started with another {name}{values}. A run is fixed once it has "
                "started: go back to the first, or choose another --run folder."
            )


def _wishes(folder: RunFolder, config: RunConfig, budget: str, seed: int) -> tuple[tuple[str, Any, Any], ...]:
    """What a run is fixed to: its name, as configured, and as asked for now."""
    plan = sha256(folder.plan) if folder.plan.exists() else "none"
    return (
        ("kind", config.kind, "search"),
        ("--budget", config.budget, budget),
        ("--seed", config.seed, seed),
        (folder.plan.name, config.plan, plan),
    )
