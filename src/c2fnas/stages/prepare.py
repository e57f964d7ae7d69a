"""Preparation: from a data set to a run folder that every stage can work in. Each step is done once and kept."""

import os
from pathlib import Path

from c2fnas.data.cache import prepare_cases
from c2fnas.data.check import Problem, check_dataset
from c2fnas.data.dataset import Dataset
from c2fnas.data.fingerprint import Fingerprint, fingerprint_dataset
from c2fnas.data.folds import Split, sequential_folds
from c2fnas.data.layouts import load_dataset
from c2fnas.data.plan import Plan, load_plan, make_plan, save_plan
from c2fnas.errors import UserError
from c2fnas.files import read_json, sha256, write_json
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.run_config import RunConfig
from c2fnas.stages.configure import configure
from c2fnas.stages.presets import Preset, load_preset
from c2fnas.stages.progress import Reporter
from c2fnas.stages.setting import Setting, load_folds

FOLDS = 5
SHOWN_PROBLEMS = 5


def prepare(
    dataset_path: Path, run: Path, budget: str, *, seed: int, devices: tuple[str, ...], reporter: Reporter
) -> Setting:
    """Check, fingerprint, plan, split, preprocess and configure; what an earlier call finished is kept.

    Raises:
        UserError: the data set has errors, or the run folder belongs to another data set, plan, budget or seed.
    """
    dataset, plan, folds = prepare_data(dataset_path, run, budget, reporter=reporter)
    folder, preset = RunFolder(run), load_preset(budget)
    if folder.config.exists():
        _refuse_another(folder, RunConfig.load(folder.config), budget, seed)
    else:
        configure(dataset, plan, folds, preset, folder, budget, seed, devices, reporter).save(folder.config)
    return Setting.load(run)


def prepare_data(
    dataset_path: Path, run: Path, budget: str, *, reporter: Reporter
) -> tuple[Dataset, Plan, tuple[Split, ...]]:
    """Everything of :func:`prepare` but the configuration."""
    dataset, plan = prepare_plan(dataset_path, run, budget, reporter=reporter)
    folder = RunFolder(run)
    folds = _folds(dataset, folder)
    _cache(dataset, plan, folder, reporter)
    return dataset, plan, folds


def prepare_plan(dataset_path: Path, run: Path, budget: str, *, reporter: Reporter) -> tuple[Dataset, Plan]:
    """Check and fingerprint a data set and make its plan, which may then be edited by hand."""
    dataset, folder = load_dataset(dataset_path), RunFolder(run)
    fingerprint = _fingerprint(dataset, folder, reporter)
    return dataset, _plan(fingerprint, load_preset(budget), folder)


def _fingerprint(dataset: Dataset, folder: RunFolder, reporter: Reporter) -> Fingerprint:
    """The data set's fingerprint; an unchanged data set is neither checked nor read again."""
    if folder.fingerprint.exists():
        known = Fingerprint.model_validate(read_json(folder.fingerprint))
        if known.describes(dataset):
            return known
        raise UserError(
            f"{folder.root}: this run folder belongs to another data set, {known.name!r} with {len(known.cases)} "
            f"training cases, or the files in {dataset.root} have changed since. Choose another --run folder."
        )
    _check(dataset, folder, reporter)
    cases = len(dataset.training)
    reporter.start("fingerprint", cases)
    fingerprint = fingerprint_dataset(
        dataset, workers=usable_cores(), progress=lambda done, total: reporter.update("fingerprint", done)
    )
    reporter.finish("fingerprint")
    write_json(folder.fingerprint, fingerprint.model_dump(mode="json"))
    return fingerprint


def _check(dataset: Dataset, folder: RunFolder, reporter: Reporter) -> None:
    """Refuse a data set with errors; keep the warnings for the report."""
    reporter.start("check", len(dataset.training) + len(dataset.test))
    problems = check_dataset(
        dataset, workers=usable_cores(), progress=lambda done, total: reporter.update("check", done)
    )
    errors = [problem for problem in problems if problem.severity == "error"]
    reporter.finish("check", f"{len(errors)} errors, {len(problems) - len(errors)} warnings")
    if errors:
        raise UserError(_refusal(dataset, errors))
    write_json(folder.root / "check.json", {"problems": [problem.to_json() for problem in problems]})


def _refusal(dataset: Dataset, errors: list[Problem]) -> str:
    shown = "; ".join(f"{e.file}: found {e.found}, expected {e.expected}. {e.mend}" for e in errors[:SHOWN_PROBLEMS])
    more = f" ... and {len(errors) - SHOWN_PROBLEMS} more" if len(errors) > SHOWN_PROBLEMS else ""
    hint = f"`c2fnas check {dataset.root}` lists every one."
    return f"{dataset.root}: {len(errors)} errors in the data set: {shown}{more} {hint}"


def _plan(fingerprint: Fingerprint, preset: Preset, folder: RunFolder) -> Plan:
    """The plan in the run folder, edited by hand or not; made from the fingerprint where there is none."""
    if not folder.plan.exists():
        save_plan(make_plan(fingerprint, style=preset.plan), folder.plan)
    return load_plan(folder.plan)


def _folds(dataset: Dataset, folder: RunFolder) -> tuple[Split, ...]:
    if not folder.folds.exists():
        splits = sequential_folds(dataset.training, folds=min(FOLDS, len(dataset.training)))
        write_json(folder.folds, [{"training": list(s.training), "validation": list(s.validation)} for s in splits])
    return load_folds(folder.folds)


def _cache(dataset: Dataset, plan: Plan, folder: RunFolder, reporter: Reporter) -> None:
    reporter.start("prepare cases", len(dataset.training))
    prepare_cases(
        dataset.training, plan, folder.cache, workers=usable_cores(),
        progress=lambda done, total: reporter.update("prepare cases", done),
    )  # fmt: skip
    reporter.finish("prepare cases", "each case once, memory-mapped")


def _refuse_another(folder: RunFolder, config: RunConfig, budget: str, seed: int) -> None:
    """A run folder is one configuration from its first start on."""
    for name, found, asked in (("--budget", config.budget, budget), ("--seed", config.seed, seed),
                               ("plan.yaml", config.plan, sha256(folder.plan))):  # fmt: skip
        if found != asked:
            raise UserError(
                f"{folder.config}: this run was started with another {name} ({found}, now {asked}). A run is fixed "
                "once it has started: give the first value again, or choose another --run folder."
            )


def usable_cores() -> int:
    """The processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
