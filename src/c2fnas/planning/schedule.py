"""The counts of a stage, derived when it starts, written down before its first job and fixed for it."""

import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from c2fnas.data.cache import PreparedCase
from c2fnas.data.plan import Plan
from c2fnas.execution.call import finished
from c2fnas.execution.job import Job
from c2fnas.files import append_json_line, read_json, read_json_lines, write_json
from c2fnas.networks.designs import Design, design_from_json, has_design, read_design
from c2fnas.planning.budget import Workload, estimate, hours_to_search, network_seconds
from c2fnas.planning.configuration import Preparation, count_work, rescheduled, timed_recipe, with_counts
from c2fnas.planning.forecast import forecast, memory_line
from c2fnas.planning.request import COUNTS, Request, request_for
from c2fnas.planning.timings import Timings, measure, middle_network
from c2fnas.runs.allowance import verdict_allowance
from c2fnas.runs.freeze import frozen_by
from c2fnas.runs.job_record import JobRecord, read_job, read_payload
from c2fnas.runs.overrides import value_at, with_values
from c2fnas.runs.run import Run
from c2fnas.shapes import Size
from c2fnas.space.geometry import by
from c2fnas.text import duration, plural
from c2fnas.training.recipe import Recipe

FIRST_FIELD = {
    "coarse": "coarse.recipe",
    "super-network": "fine.recipe",
    "ranking": "fine.cases",
    "deployment": "deployment.recipe.iterations",
}
"""The stages that have counts, each with a field that it freezes."""


def fix_counts(run: Run, stage: str, design: Design | None = None) -> None:
    """Fix the counts of ``stage``, and foresee those after it, by what was measured and what remains of the budget.

    What an earlier session has written down stands: a run that is resumed has the counts it was started with. Without
    a time budget nothing is done.

    Args:
        run: held by this driver; its configuration is changed.
        stage: of :data:`FIRST_FIELD`, about to start.
        design: the network that is trained, where it is known.
    """
    if not derives(run, stage, design):
        return
    rows = [*read_json_lines(run.folder.schedule)]
    if stage in [row["stage"] for row in rows[:-1]]:
        return
    request, prepared = _request(run, design), preparation_of(run)
    if rows and rows[-1]["stage"] == stage:  # a driver may have died before it wrote them into the configuration
        fixed = with_counts(run.config, request, prepared, rows[-1]["counts"])
    else:
        timings = timings_for(run, design)
        fixed = rescheduled(run.config, request, prepared, timings, stage)
        row = {"stage": stage, "spent": round(run.time.seconds, 1), "left": round(run.seconds_left, 1)}
        counts = {name: value_at(fixed, name) for name in COUNTS}
        append_json_line(run.folder.schedule, {**row, "timings": vars(timings), "counts": counts})
    if fixed != run.config:
        run.configure(fixed)


def derives(run: Run, stage: str, design: Design | None = None) -> bool:
    """Return true if the counts of ``stage``, which trains ``design``, are still to be derived from a time budget."""
    return (
        run.config.hours is not None and not frozen_by(FIRST_FIELD[stage], run.folder) and _request(run, design).by_time
    )


def _request(run: Run, design: Design | None) -> Request:
    """The request that the run was made by."""
    return request_for(run.folder, design=design if run.config.kind == "training" else None)


def verdict_seconds(run: Run) -> float | None:
    """Return the seconds that the verdict of a time budget may take, fixed when they are first asked for."""
    known = [row["seconds"] for row in read_json_lines(run.folder.schedule) if row["stage"] == "verdict"]
    seconds = known[0] if known else verdict_allowance(run.config, run.seconds_left)
    if seconds is not None and not known:
        row = {"stage": "verdict", "spent": round(run.time.seconds, 1), "left": round(run.seconds_left, 1)}
        append_json_line(run.folder.schedule, {**row, "seconds": round(seconds, 1)})
    return seconds


def forecast_of(run: Run, race: float = 0.0) -> str:
    """Return what the run will do and how long it will take, by the counts as they are; and what it leaves out.

    ``race`` is the seconds that a race between plans takes first.
    """
    timings, work = timings_for(run), count_work(run.config, preparation_of(run))
    seconds = {"race": race} if race else {}
    seconds |= estimate(run.config, timings, work, run.seconds_left - race)
    text = forecast(run.config, run.plan.patch_size, work, seconds, run.time.seconds)
    filters = middle_network(run.config.space, run.width).stem_filters[0]
    return "\n".join([text, memory_line(run.fingerprint.cases, run.plan, filters), *left_out(run)])


def forecast_trainings(run: Run, stage: str, jobs: Sequence[Job]) -> str | None:
    """Return how long a stage's trainings that are not done will take; None where no steps were timed."""
    waiting = [job for job in jobs if "design" in job.payload and not finished(job)]
    if not waiting or not run.folder.timings.exists():
        return None
    work = count_work(run.config, preparation_of(run))
    seconds = sum(_seconds_of(run, job, work) for job in waiting) / min(work.devices, len(waiting))
    where = ", ".join(run.config.devices)
    return f"{stage.capitalize()}: {plural(len(waiting), 'training')}, together ≈ {duration(seconds)} on {where}."


def _seconds_of(run: Run, job: Job, work: Workload) -> float:
    """The seconds of a training by its job, whatever its network and patch."""
    payload = job.payload
    recipe, design = Recipe.model_validate(payload["recipe"]), design_from_json(payload["design"])
    length = recipe.model_copy(update={"iterations": payload["until"] or recipe.iterations})
    timings = timings_for(run, design).times(payload["patch_factor"] ** 3)
    return network_seconds(length, timings, work, "deployment" if payload["mirror"] else "coarse")


def left_out(run: Run) -> Iterator[str]:
    """Yield a sentence on what the time does not pay for, and on the budget that would."""
    config = run.config
    if config.kind == "training" or config.hours is None:
        return
    request = request_for(run.folder)
    most = {name: value_at(request.draft, name) for name in ("coarse.evaluations", "fine.candidates")}
    missing = [name for name, value in most.items() if value and not value_at(config, name)]
    if not missing:
        return
    prepared, timings = preparation_of(run), timings_for(run)

    def schedule(hours: float) -> dict[str, Any]:
        left = replace(prepared, left=3600 * hours - run.time.seconds)
        longer = rescheduled(with_values(config, {**most, "hours": hours}), request, left, timings)
        return {name: value_at(longer, name) for name in most}

    hours = hours_to_search(schedule, missing[-1], config.hours)
    what = "Nothing is searched, and the default architecture is taken"
    if len(missing) == 1 and config.searches:
        what = "Operations are not searched, and every cell keeps the default's"
    buys = f" `--budget {hours:g}h` would pay for it." if hours else ""
    yield (
        f"{what}: {duration(3600 * config.hours)} do not pay for a well trained network and, beside it, for trainings "
        f"long enough to tell candidates apart.{buys}"
    )


def timings_of(run: Run, devices: tuple[str, ...], design: Design, recipe: Recipe, plan: Plan | None = None) -> Timings:
    """Return the seconds of steps and windows on the machine at hand, measured once for a plan, network and devices.

    ``plan`` is one that may be chosen, instead of the run's.
    """
    path, plan = run.folder.timings, plan or run.plan
    where = {"host": socket.gethostname(), "devices": list(devices), "patch": list(plan.patch_size)}
    where["network"] = design.to_text()
    kept = read_json(path) if path.exists() else {}
    if {name: kept.get(name) for name in where} == where:
        return Timings(**kept["seconds"])
    run.reporter.say(f"Timing a few steps on patches of {by(plan.patch_size)} ...")
    timings = measure(plan, design, recipe, devices)
    write_json(path, {**where, "seconds": vars(timings)})
    return timings


def timings_for(run: Run, design: Design | None = None) -> Timings:
    """Return the seconds of ``design``: the timed network's, by their multiply-accumulates and the run's own pace.

    The network of a training without a search is timed itself, else one in the middle of the space.
    """
    config = run.config
    timed: Design = middle_network(config.space, run.width)
    if config.kind == "training" and has_design(run.folder.final):
        timed = read_design(run.folder.final)
    timings = timings_of(run, config.devices, timed, timed_recipe(config))
    factor = _slowness(run, timed, timings)
    if design is not None and design != timed:
        factor *= run.cost(design).macs / run.cost(timed).macs
    return timings.times(factor)


def _slowness(run: Run, timed: Design, timings: Timings) -> float:
    """The length of the run's own trainings in parts of what was timed; 1 before there are any."""
    macs = run.cost(timed).macs
    folders: Iterable[Path] = [*run.folder.coarse.glob("[0-9]*"), run.folder.race_chosen]
    found = [_of_timed(run, read_job(folder), timings, macs) for folder in folders if folder.exists()]
    known = [each for each in found if each is not None]
    return median(known) if known else 1.0


def _of_timed(run: Run, job: JobRecord, timings: Timings, macs: int) -> float | None:
    """The seconds of a job's training in parts of those that were to be expected."""
    payload = read_payload(job.folder)
    if not job.curve.done or not job.training_seconds or "design" not in payload:
        return None
    recipe = Recipe.model_validate(payload["recipe"])
    design = design_from_json(payload["design"])
    patch = timings.patch * run.cost(design).macs / macs
    patch += timings.augmentation if recipe.augmentation == "modern" else 0
    return job.training_seconds / (job.curve.done * recipe.batch_size * patch)


def preparation_of(run: Run, hours: float | None = None) -> Preparation:
    """Return what planning needs to know of the run's prepared cases; ``hours``: the budget before it is configured."""
    cases = [run.cache[case] for case in run.search_split.validation or run.search_split.training]
    shapes = tuple(case.restoration.shape for case in cases)
    boxes = tuple(_box(case) or shape for case, shape in zip(cases, shapes, strict=True))
    left = 3600 * hours - run.time.seconds if hours else run.seconds_left
    return Preparation(run.plan, run.folds, shapes, boxes, left)


def _box(case: PreparedCase) -> Size | None:
    """The sides of the box that holds a case's foreground; None where it has none."""
    places = [voxels for voxels in case.foreground if len(voxels)]
    if not places:
        return None
    i, j, k = (int(side) + 1 for side in np.ptp(np.concatenate(places), axis=0))
    return i, j, k
