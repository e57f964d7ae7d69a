"""The counts of a stage, derived when it starts, written down before its first job and fixed for it."""

import numpy as np

from c2fnas.data.cache import PreparedCase
from c2fnas.networks.designs import Design
from c2fnas.planning.budget import estimate
from c2fnas.planning.configuration import Prepared, count_work, rescheduled, with_counts
from c2fnas.planning.request import COUNTS, SEARCHED, Request, request_for
from c2fnas.planning.run_timings import expected_timings
from c2fnas.runs.config import RunConfig
from c2fnas.runs.freeze import frozen_by
from c2fnas.runs.overrides import value_at, with_values
from c2fnas.runs.records.coarse_posterior import CoarsePosterior
from c2fnas.runs.repetition import MIRROR
from c2fnas.runs.run import Run
from c2fnas.runs.timing.allowance import kept_for_the_end, least_of_a_budget, verdict_allowance
from c2fnas.runs.timing.schedule_row import VERDICT, ScheduleRow, schedule_rows, seconds_of_verdict
from c2fnas.shapes import Size
from c2fnas.text import duration
from c2fnas.training.device import ranks

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
    rows = [*schedule_rows(run.folder.schedule)]
    if stage in [row.stage for row in rows[:-1]]:
        return
    request, prepared = _request(run, design), preparation_of(run)
    if rows and rows[-1].stage == stage:  # a driver may have died before it wrote them into the configuration
        fixed = with_counts(run.config, request, prepared, rows[-1].counts)
    else:
        timings = expected_timings(run, design)
        fixed = rescheduled(_open_again(run, request, stage), request, prepared, timings, stage)
        counts = {name: value_at(fixed, name) for name in (*COUNTS, MIRROR)}
        ScheduleRow(stage, run.time.seconds, run.seconds_left, counts, timings).append(run.folder.schedule)
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
    budget = run.config.seconds
    assert budget is not None
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
    known = seconds_of_verdict(run.folder.schedule)
    seconds = verdict_allowance(run.config, run.seconds_left) if known is None else known
    if seconds is not None and known is None:
        row = ScheduleRow(VERDICT, run.time.seconds, run.seconds_left, seconds=round(seconds, 1))
        row.append(run.folder.schedule)
    return seconds


def preparation_of(run: Run, hours: float | None = None) -> Prepared:
    """Return what planning needs to know of the run's prepared cases; ``hours``: the budget before it is configured."""
    cases = [run.cache[case] for case in run.search_split.validation or run.search_split.training]
    shapes = tuple(case.restoration.shape for case in cases)
    boxes = tuple(_box(case) or shape for case, shape in zip(cases, shapes, strict=True))
    left = 3600 * hours - run.time.seconds if hours else run.seconds_left
    together = ranks()[1] > 1  # under torchrun, whose processes share one job after another
    at_a_time = 1 if together else None if hours else run.slots.jobs
    return Prepared(run.plan, run.folds, shapes, boxes, left, at_a_time, saved_seconds(run))


def saved_by_an_early_end(run: Run, unused: int, seconds: float) -> float:
    """Return the seconds that ``unused`` trainings leave, each of so many ``seconds``, on the devices of the run.

    In a time budget they are no more than the stage has left of its own part: where its trainings were slower than was
    thought, or some failed, that part is spent.
    """
    saved = unused * seconds / run.slots.jobs
    rows = [row for row in schedule_rows(run.folder.schedule) if row.stage == "coarse"]
    if not rows or rows[-1].timings is None:
        return saved
    work = count_work(run.config, preparation_of(run))
    planned = estimate(run.config, rows[-1].timings, work)["coarse"]
    left = planned - (run.time.seconds - rows[-1].spent)
    return max(0.0, min(saved, left))


def saved_seconds(run: Run) -> float:
    """Return the seconds that a coarse stage that ended early has left to the final network."""
    path = run.folder.posterior
    return CoarsePosterior.load(path).saved if path.exists() else 0.0


def _box(case: PreparedCase) -> Size | None:
    """The sides of the box that holds a case's foreground; None where it has none."""
    places = [voxels for voxels in case.foreground if len(voxels)]
    if not places:
        return None
    i, j, k = (int(side) + 1 for side in np.ptp(np.concatenate(places), axis=0))
    return i, j, k
