"""Preparation: from a data set to a run folder that every stage can work in. Each step is done once and kept."""

import shutil
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

import yaml

from c2fnas.cores import usable_cores
from c2fnas.data.cache import disk_needed, prepare_cases
from c2fnas.data.dataset import Dataset
from c2fnas.data.fingerprint import Fingerprint
from c2fnas.data.folds import case_ids
from c2fnas.data.layouts import Reading, read_dataset
from c2fnas.data.parallel import Progress
from c2fnas.data.plan import Plan, differences, load_plan, refuse_unfit, save_plan
from c2fnas.data.problem import Problem, Severity, lines
from c2fnas.data.scan import Scan, scan_dataset
from c2fnas.errors import UserError
from c2fnas.files import sha256, write_json, write_text
from c2fnas.planning.affordable import affordable_plan
from c2fnas.planning.configuration import configure
from c2fnas.planning.memory_fit import fit_for
from c2fnas.planning.patch_size import NothingFits
from c2fnas.planning.plan import make_plan, small_classes
from c2fnas.planning.presets import departures
from c2fnas.planning.request import Request, keep_request
from c2fnas.planning.run_timings import measured_timings
from c2fnas.planning.schedule import preparation_of
from c2fnas.planning.width import planned_width
from c2fnas.runs.config import RunConfig
from c2fnas.runs.records.kept_folds import KeptFolds
from c2fnas.runs.records.plan_choice import PlanChoice
from c2fnas.runs.run import Run
from c2fnas.stages.run_folds import divided, forget_drawn, keep_folds, keep_warnings, leave_out, tell_warnings
from c2fnas.text import large, plural

SHOWN = 5
"""Problems that are told of one by one."""


def prepare(run: Run, dataset: Path, request: Request) -> Run:
    """Check, fingerprint, plan, split, preprocess and configure; what an earlier call has finished is kept.

    Args:
        run: the run folder and the reporter; the folder need not be there.
        dataset: the data set.
        request: of :func:`c2fnas.planning.request.request_for`.

    Returns:
        The run, prepared.

    Raises:
        UserError: the data set has errors, or the run folder belongs to another data set or to other folds.
    """
    with run.time.preparing():
        return _prepare(run, dataset, request)


def _prepare(run: Run, dataset: Path, request: Request) -> Run:
    data, plan = prepare_plan(run, dataset, request)
    redivided = keep_folds(run, data, request)
    if request.by_time:
        leave_out(run, data, plan, request.draft)
    _cache(data, plan, run)
    kept = None if redivided else request.config
    unfinished = not run.folder.budget.exists()  # a driver has died before it wrote the budget down
    if kept is None or kept != run.config or unfinished:
        config = kept or _configured(run, dataset, data, request)
        run.folder.budget.unlink(missing_ok=True)
        if kept is None:
            run.folder.schedule.unlink(missing_ok=True)  # no stage has begun with its counts
        run.configure(config)
        run.folder.asked.unlink(missing_ok=True)
        if run.config.plan.style == "paper" and (others := _departures(data, run.config)):
            run.reporter.say(f"Warning: not the paper's to the letter: {'; '.join(others)}.")
        write_text(run.folder.budget, yaml.safe_dump(request.base, sort_keys=False))
    return run


def _departures(data: Dataset, config: RunConfig) -> list[str]:
    """The departures from the paper that the user, or the data set, asks for."""
    named = config.folds.by is None and any(case.fold is not None for case in data.training)
    return [*(["folds are those that the data set names, not sequential"] if named else []), *departures(config)]


def prepare_plan(run: Run, dataset: Path, request: Request) -> tuple[Dataset, Plan]:
    """Check and fingerprint a data set and make its plan, which may then be edited by hand.

    Raises:
        UserError: the data set has errors, can't be divided into folds, or is another one than the run's.
    """
    reading = read_dataset(dataset).with_spacing(request.draft.stated_spacing)
    data = reading.sound(dataset)
    forget_drawn(run.folder, request)
    if not run.folder.folds.exists():
        divided(data, request)  # what can't be divided is refused before it is read
    _fingerprint(reading, dataset, run)
    plan = _plan(run, data, request)
    keep_request(run.folder, request)
    return data, plan


def _configured(run: Run, dataset: Path, data: Dataset, request: Request) -> RunConfig:
    fields = {
        "dataset": data.name,
        "dataset_path": str(dataset),
        "fingerprint_sha256": sha256(run.folder.fingerprint),
        "plan_sha256": sha256(run.folder.plan),
        "folds_sha256": sha256(run.folder.folds),
        "width": planned_width(run.folder, request),
    }
    fresh = Run(run.folder.root, reporter=run.reporter, time=run.time)
    prepared = preparation_of(fresh, request.draft.hours or 1)  # one without a time derives nothing
    return configure(request, fields, prepared, lambda *what: measured_timings(fresh, request.devices, *what))


def _fingerprint(reading: Reading, place: Path, run: Run) -> Fingerprint:
    """The fingerprint of the data set at ``place``; an unchanged data set is neither checked nor read again."""
    dataset, path = reading.dataset, run.folder.fingerprint
    if path.exists():
        known = run.fingerprint
        if known.describes(dataset):
            return known
        raise UserError(
            f"{run.folder.root}: this run folder belongs to another data set, {known.name!r} with {len(known.cases)} "
            f"training cases, or the files in {dataset.root} have changed since. Choose another run folder."
        )
    found = _scan(reading, place, run).fingerprint
    write_json(path, found.model_dump(mode="json"))
    return found


def _scan(reading: Reading, place: Path, run: Run) -> Scan:
    """Read every file once and refuse errors, other than in test cases, which no stage reads; the rest is kept."""
    dataset, reporter = reading.dataset, run.reporter
    reporter.start("check", len(dataset.training) + len(dataset.test))
    found = scan_dataset(dataset, workers=usable_cores(), progress=_progress(run, "check"))
    problems = (*reading.problems, *found.problems)
    errors, warnings = _of("error", problems), _of("warning", problems)
    reporter.finish("check", f"{plural(len(errors), 'error')}, {plural(len(warnings), 'warning')}")
    hindering = _of("error", (*reading.problems, *(problem for each in found.training for problem in each.problems)))
    if hindering:
        raise UserError(_refusal(place, hindering))
    if errors:
        reporter.say(f"The errors are all in test cases, which a run doesn't read. {_hint(place)}")
    of_cases = [problem for problem in warnings if problem.case]
    if of_cases:
        reporter.say(f"{plural(len(of_cases), 'warning')} about single cases. {_hint(place)}")
    tell_warnings([problem for problem in warnings if not problem.case], reporter)
    write_json(run.folder.check, {"problems": [problem.to_json() for problem in problems]})
    return found


def _refusal(place: Path, errors: list[Problem]) -> str:
    told = [line.removeprefix("error: ") for line in lines(errors)]
    more = f" ... and {len(told) - SHOWN} more kinds." if len(told) > SHOWN else ""
    count = plural(len(errors), "error")
    return f"{place}: {count} in the data set: {' '.join(told[:SHOWN])}{more} {_hint(place)}"


def _hint(place: Path) -> str:
    return f"`c2fnas check {place}` lists every one."


def _of(severity: Severity, problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity == severity]


def _plan(run: Run, data: Dataset, request: Request) -> Plan:
    """The plan in the run folder, edited by hand or not; made where there is none, for a time by what it pays."""
    folder, config, fingerprint = run.folder, request.draft, run.fingerprint
    made = folder.plan.exists() and not request.replan
    if not made:
        folder.choice.unlink(missing_ok=True)
        shutil.rmtree(folder.race, ignore_errors=True)
        fits = fit_for(run, request)
        try:
            if not request.by_time or config.plan.style == "paper" or "resize" in config.plan.given:
                plan = make_plan(fingerprint, style=config.plan.style, given=config.plan.given, fits=fits)
            else:
                divides = request.folds.given or not folder.folds.exists()
                folds = divided(data, request) if divides else KeptFolds.load(folder.folds).splits
                plan = affordable_plan(run, data, request, fits, folds)
        except NothingFits as error:
            raise UserError(
                f"{request.devices[0]}: {error} into {fits.available / 1e9:.1f} GB of memory. Free some, use another "
                "device, or choose a budget with a smaller width."
            ) from error
        except ValueError as error:
            raise UserError(f"--set plan: {' '.join(str(error).split())}") from error
        save_plan(plan, folder.plan)
    plan = load_plan(folder.plan)
    refuse_unfit(plan, fingerprint, folder.plan)
    if not made:
        small = small_classes(fingerprint, folder.plan.name, plan)
        tell_warnings(small, run.reporter)
        keep_warnings(folder, folder.plan.name, small)
    if made and request.config is None and config.plan.style == "paper":
        _tell_departures(plan, run)
    return plan


def _tell_departures(plan: Plan, run: Run) -> None:
    """A plan that was made for another budget, or edited, stands; but the paper's to the letter it is not."""
    if others := differences(plan, make_plan(run.fingerprint, style="paper")):
        run.reporter.say(
            f"Warning: {run.folder.plan} was there already and differs from the paper's in {', '.join(others)}. "
            "Delete it to have the paper's."
        )


def _cache(dataset: Dataset, plan: Plan, run: Run) -> None:
    known = case_ids(KeptFolds.load(run.folder.folds).splits)
    if strangers := sorted(known - {case.id for case in dataset.training}):
        raise UserError(
            f"{run.folder.folds}: names the case {strangers[0]!r}, which {dataset.root} has not. Take it out of every "
            "fold, or choose another run folder."
        )
    cases = [case for case in dataset.training if case.id in known]
    count, begun = _forecast_disk(plan, run, known), run.time.now()
    run.reporter.start("prepare cases", len(cases))
    prepare_cases(
        cases,
        plan,
        run.folder.cache,
        workers=usable_cores(),
        progress=_progress(run, "prepare cases"),
        hashes=run.fingerprint.hashes,  # of this very data set, as was seen to
    )
    run.reporter.finish("prepare cases", "each case once, memory-mapped")
    if count and run.folder.choice.exists():
        seconds = (run.time.now() - begun) / count  # a race prepares them for other plans
        replace(PlanChoice.load(run.folder.choice), case_seconds=seconds).save(run.folder.choice)


def _progress(run: Run, stage: str) -> Progress:
    """Tell of the cases that are done; a file ``stop`` ends the stage before the next ones."""

    def tell(done: int, total: int) -> None:
        run.reporter.update(stage, done)
        run.refuse_stop()

    return tell


def _forecast_disk(plan: Plan, run: Run, ids: Collection[str]) -> int:
    """Tell what the prepared cases will take of the disk, before the first of them is read; returns their number.

    Raises:
        UserError: that is more than is free.
    """
    count, needed = disk_needed([each for each in run.fingerprint.cases if each.id in ids], plan, run.folder.cache)
    free = shutil.disk_usage(run.folder.root).free
    cases, room = plural(count, "prepared case"), f"{large(needed)}B of {large(free)}B that are free"
    if needed > free:
        raise UserError(
            f"{run.folder.cache}: {cases} would take {room}. Free some space, choose a run folder on a larger disk, or "
            "prepare a coarser grid, such as --set plan.spacing=[2,2,2]."
        )
    if count:
        run.reporter.say(f"{cases} will take {room}.")
    return count
