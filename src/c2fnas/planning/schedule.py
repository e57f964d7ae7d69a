"""The counts of a stage, derived when it starts, written down before its first job and fixed for it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

import numpy as np

from c2fnas.data.cache import PreparedCase
from c2fnas.execution.call import finished
from c2fnas.execution.job import Job
from c2fnas.files import append_json_line, read_json, read_json_lines
from c2fnas.networks.designs import Design, design_from_json, has_design, read_design
from c2fnas.planning.budget import Workload, estimate, hours_to_search, network_seconds
from c2fnas.planning.configuration import Preparation, configure, count_work, rescheduled, with_counts
from c2fnas.planning.counts import FEWEST_CASES
from c2fnas.planning.forecast import forecast, memory_line
from c2fnas.planning.presets import load_budget, requested
from c2fnas.planning.request import COUNTS, Request, request_for
from c2fnas.planning.run_timings import timings_for
from c2fnas.planning.timings import Timings, middle_network
from c2fnas.runs.config import RunConfig
from c2fnas.runs.freeze import frozen_by
from c2fnas.runs.job_record import read_job
from c2fnas.runs.ledger import trials_of
from c2fnas.runs.overrides import value_at, with_values
from c2fnas.runs.run import Run
from c2fnas.runs.stage_summary import RunFiles, summarise_stages
from c2fnas.runs.timing.allowance import kept_for_the_end, least_of_a_budget, verdict_allowance
from c2fnas.runs.timing.pace import RunPace
from c2fnas.shapes import Size
from c2fnas.text import duration, plural, some
from c2fnas.training.recipe import Recipe

FIRST_FIELD = {
    "coarse": "coarse.recipe",
    "super-network": "fine.recipe",
    "ranking": "fine.cases",
    "deployment": "deployment.recipe.iterations",
}
"""The stages that have counts, each with a field that it freezes."""

SEARCHED = ("coarse.evaluations", "fine.candidates")
UNSEARCHED = {
    "coarse.evaluations": "The topology is not searched, and the default one is taken",
    "fine.candidates": "Operations are not searched, and every cell keeps the default's",
}
TOLERATED = 1.15
"""The part of its budget that a forecast may come to without a word."""
OF_THE_DATA = ("dataset", "dataset_path", "fingerprint_sha256", "plan_sha256")
"""Fields of a configuration that only preparation knows."""


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
        fixed = rescheduled(_open_again(run, request, stage), request, prepared, timings, stage)
        row = {"stage": stage, "spent": round(run.time.seconds, 1), "left": round(run.seconds_left, 1)}
        counts = {name: value_at(fixed, name) for name in COUNTS}
        append_json_line(run.folder.schedule, {**row, "timings": vars(timings), "counts": counts})
        _tell_what_is_spent(run, stage)
    if fixed != run.config:
        run.configure(fixed)


def _open_again(run: Run, request: Request, stage: str) -> RunConfig:
    """The run's configuration; where more or fewer jobs run at a time than it was prepared for, all may be searched."""
    if stage != "coarse" or run.slots.jobs == len(run.config.devices):
        return run.config
    return with_values(run.config, {name: value_at(request.draft, name) for name in SEARCHED})


def _tell_what_is_spent(run: Run, stage: str) -> None:
    """Say that the final network is trained, though its time is spent."""
    assert run.config.hours is not None
    budget = 3600 * run.config.hours
    if stage == "deployment" and run.seconds_left - kept_for_the_end(budget) < least_of_a_budget(budget):
        run.reporter.say(
            f"The budget of {duration(budget)} is spent but for {duration(max(0.0, run.seconds_left))}. The final "
            f"network is trained for {duration(least_of_a_budget(budget))} all the same; a longer budget trains it "
            "better."
        )


def derives(run: Run, stage: str, design: Design | None = None) -> bool:
    """Return true if the counts of ``stage``, which trains ``design``, are still to be derived from a time budget."""
    if run.config.hours is None or run.config.deployment.extended:
        return False
    return not frozen_by(FIRST_FIELD[stage], run.folder) and _request(run, design).by_time


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
    """Return what is left of the run and how long it will take, by the counts as they are; and what it leaves out.

    ``race`` is the seconds that a race between plans takes first.
    """
    timings, work = timings_for(run, _known_design(run)), count_work(run.config, preparation_of(run))
    seconds = {"race": race} if race else {}
    seconds |= estimate(run.config, timings, work, run.seconds_left - race, _done(run))
    text = forecast(run.config, run.plan.patch_size, work, seconds, run.slots, run.time.seconds)
    filters = middle_network(run.config.space, run.width).stem_filters[0]
    own = too_long(run, run.time.seconds + sum(seconds.values()))
    return "\n".join([text, memory_line(run.fingerprint.cases, run.plan, filters), *own, *left_out(run)])


def _known_design(run: Run) -> Design | None:
    """The network that is trained at the end, where it is known already."""
    if has_design(run.folder.final):
        return read_design(run.folder.final)
    return run.folder.found_architecture() if run.folder.fine_architecture.exists() else None


def _done(run: Run) -> dict[str, float]:
    """The share of each stage that is done."""
    cases, trials = len(run.search_split.validation), trials_of(run.folder, "coarse")
    files = RunFiles(run.folder, run.config, run.plan, cases, run.final_folds, trials, RunPace(), run.slots)
    found = {each.name: float(each.finished) or each.done / max(1, each.total) for each in summarise_stages(files)}
    final, length = [read_job(run.folder.final_fold(fold)) for fold in run.final_folds], run.config.deployment.recipe
    return found | {"deployment": mean(float(job.done) or job.curve.done / length.iterations for job in final)}


def forecast_trainings(run: Run, stage: str, jobs: Sequence[Job], together: int | None = None) -> str | None:
    """Return how long a stage's trainings that are not done will take; None where no steps were timed.

    Each has as many cores as if there were ``together`` of them.
    """
    waiting = [job for job in jobs if "design" in job.payload and not finished(job)]
    if not waiting or not run.folder.timings.exists():
        return None
    work = count_work(run.config, preparation_of(run))
    seconds = sum(_seconds_of(run, job, work, together or len(jobs)) for job in waiting)
    seconds /= min(work.devices, len(waiting))
    where = run.slots.text(run.config.devices)
    return f"{stage.capitalize()}: {plural(len(waiting), 'training')}, together ≈ {duration(seconds)} on {where}."


def _seconds_of(run: Run, job: Job, work: Workload, jobs: int) -> float:
    """The seconds of a training of a stage of so many ``jobs``, whatever its network and patch."""
    payload = job.payload
    recipe, design = Recipe.model_validate(payload["recipe"]), design_from_json(payload["design"])
    length = recipe.model_copy(update={"iterations": payload["until"] or recipe.iterations})
    timings = timings_for(run, design).times(payload["patch_factor"] ** 3).beside(jobs, work.devices)
    return network_seconds(length, timings, work, "deployment" if payload["mirror"] else "coarse")


def too_long(run: Run, seconds: float) -> Iterator[str]:
    """Yield a sentence where counts that were set make a run of so many ``seconds``, longer than its budget."""
    hours = run.config.hours
    if hours is None or seconds <= TOLERATED * 3600 * hours:
        return
    request = request_for(run.folder)
    fixed = [name for name in COUNTS if not request.free(name)]
    if fixed:
        yield (
            f"That is {seconds / (3600 * hours):.1f} times the budget of {duration(3600 * hours)}: {some(fixed)} "
            f"{'was' if len(fixed) == 1 else 'were'} set. What isn't set follows from the time; coarser voxels, such as "
            "`--set plan.spacing=[2,2,2]`, make all of it faster."
        )


def left_out(run: Run) -> Iterator[str]:
    """Yield a sentence on what the time does not pay for, and on the budget that would."""
    config = run.config
    if config.kind == "training" or config.hours is None:
        return
    request = request_for(run.folder)
    missing = [name for name in SEARCHED if value_at(request.draft, name) and not value_at(config, name)]
    if not missing:
        return
    cases = len(run.search_split.validation)
    if missing == ["fine.candidates"] and cases < FEWEST_CASES:
        yield (
            f"{UNSEARCHED[missing[0]]}: to rank candidates takes {FEWEST_CASES} validation cases, and the search has "
            f"{cases}. `--set fine.candidates=200` ranks them all the same."
        )
        return
    prepared, timings = preparation_of(run), timings_for(run)
    wanted = missing[-1] if cases >= FEWEST_CASES else missing[0]
    hours = hours_to_search(lambda hours: _of_hours(run, request, prepared, timings, hours), wanted, config.hours)
    what = UNSEARCHED[missing[0]] if config.searches else "Nothing is searched, and the default architecture is taken"
    buys = f" `--budget {hours:g}h` would pay for it." if hours else ""
    yield (
        f"{what}: {duration(3600 * config.hours)} do not pay for a well trained network and, beside it, for trainings "
        f"long enough to tell candidates apart.{buys}"
    )


def _of_hours(run: Run, request: Request, prepared: Preparation, timings: Timings, hours: float) -> dict[str, Any]:
    """The counts of a search in a budget of so many hours, which may deploy more folds and share its time otherwise."""
    budget = f"{hours:g}h"
    base = load_budget(budget)
    longer = replace(request, budget=budget, base=base, part=requested(budget, request.overrides, base), config=None)
    fields = {name: value_at(run.config, name) for name in OF_THE_DATA}
    left = replace(prepared, left=3600 * hours - run.time.seconds)
    config = configure(longer, fields, left, lambda *_: timings)
    return {name: value_at(config, name) for name in SEARCHED}


def preparation_of(run: Run, hours: float | None = None) -> Preparation:
    """Return what planning needs to know of the run's prepared cases; ``hours``: the budget before it is configured."""
    cases = [run.cache[case] for case in run.search_split.validation or run.search_split.training]
    shapes = tuple(case.restoration.shape for case in cases)
    boxes = tuple(_box(case) or shape for case, shape in zip(cases, shapes, strict=True))
    left = 3600 * hours - run.time.seconds if hours else run.seconds_left
    at_a_time = None if hours else run.slots.jobs
    return Preparation(run.plan, run.folds, shapes, boxes, left, at_a_time, saved_seconds(run))


def saved_seconds(run: Run) -> float:
    """Return the seconds that a coarse stage that ended early has left to the final network."""
    path = run.folder.posterior
    return float(read_json(path)["saved"]) if path.exists() else 0.0


def _box(case: PreparedCase) -> Size | None:
    """The sides of the box that holds a case's foreground; None where it has none."""
    places = [voxels for voxels in case.foreground if len(voxels)]
    if not places:
        return None
    i, j, k = (int(side) + 1 for side in np.ptp(np.concatenate(places), axis=0))
    return i, j, k
