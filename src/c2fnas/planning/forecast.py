"""The forecast: what a run will do, how long each stage takes, and what its time does not pay for, as text."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from statistics import mean
from typing import Any

from c2fnas.data.fingerprint import CaseFingerprint
from c2fnas.data.plan import Plan
from c2fnas.data.preprocess import prepared_shape
from c2fnas.evaluation.volume_memory import volume_memory
from c2fnas.networks.designs import Design
from c2fnas.planning.budget import Workload, estimate, hours_to_search
from c2fnas.planning.configuration import Prepared, configure, count_work
from c2fnas.planning.counts import FEWEST_CASES, LENGTH
from c2fnas.planning.middle import middle_network
from c2fnas.planning.presets import complete_recipe, draft, load_budget, requested
from c2fnas.planning.request import COUNTS, SEARCHED, Request, request_for
from c2fnas.planning.run_timings import expected_timings
from c2fnas.planning.schedule import preparation_of
from c2fnas.runs.config import RunConfig
from c2fnas.runs.freeze import begun_stages, frozen_by
from c2fnas.runs.overrides import value_at
from c2fnas.runs.records.job_record import read_job
from c2fnas.runs.run import Run
from c2fnas.runs.stage_summary import stages_of
from c2fnas.runs.summary import stage_tasks
from c2fnas.runs.timing.slots import Slots
from c2fnas.runs.timing.timings import Timings
from c2fnas.shapes import Size
from c2fnas.text import crossed, duration, plural, some
from c2fnas.training.recipe import Recipe
from c2fnas.training.shortness import too_few

UNSEARCHED = {
    "coarse.evaluations": "The topology is not searched, and the default one is taken",
    "fine.candidates": "Operations are not searched, and every cell keeps the default's",
}
TOLERATED = 1.15
"""The part of its budget that a forecast may come to without a word."""
OF_THE_DATA = ("dataset", "dataset_path", "fingerprint_sha256", "plan_sha256", "folds_sha256")
"""Fields of a configuration that only preparation knows."""


def forecast_of(run: Run, race: float = 0.0) -> str:
    """Return what is left of the run and how long it will take, by the counts as they are; and what it leaves out.

    ``race`` is the seconds that a race between plans takes first.
    """
    timings, work = expected_timings(run, run.folder.design), count_work(run.config, preparation_of(run))
    seconds = {"race": race} if race else {}
    seconds |= estimate(run.config, timings, work, run.seconds_left - race, _done(run))
    text = stage_lines(run.config, run.plan.patch_size, work, seconds, run.slots, run.time.seconds)
    filters = middle_network(run.config.space, run.width).stem_filters[0]
    own = () if begun_stages(run.folder) else too_long(run, run.time.seconds + sum(seconds.values()))
    memory = memory_line(run.fingerprint.cases, run.plan, filters, run.config.deployment.keep_largest)
    return "\n".join([text, memory, *own, *left_out(run), *_final_network(run)])


def stage_lines(
    config: RunConfig, patch: Size, work: Workload, seconds: Mapping[str, float], slots: Slots, spent: float = 0.0
) -> str:
    """Return the run's stages as text, with what each does and its expected time.

    Args:
        config: of the run.
        patch: of the plan.
        work: whose networks are deployed.
        seconds: that each stage takes, by its name.
        slots: the room for jobs that they were counted for.
        spent: seconds that the run has taken already, preparation included.
    """
    tasks = stage_tasks(config, trained=work.folds, every_case=work.every_case, cases=work.validation_cases)
    tasks["race"] = "plans that are close, one topology trained on each"
    rows = [("until now", spent, "preparation and what was measured")] if spent else []
    rows += [(stage, took, tasks[stage]) for stage, took in seconds.items()]
    rows.append(("together", spent + sum(seconds.values()), f"on {slots.text(config.devices)}"))
    head = (
        f"{config.dataset}, budget {config.budget}, width {config.width:g}, patch {crossed(patch)}, "
        f"{config.deployment.recipe.precision}, seed {config.seed}"
    )
    return "\n".join([head, *(line(*row) for row in rows)])


def memory_line(cases: Iterable[CaseFingerprint], plan: Plan, filters: int, components: bool = False) -> str:
    """Return the row on the memory that the most demanding case takes when it is labelled and scored as a whole.

    Args:
        cases: of the data set.
        plan: of the run.
        filters: of a network at full resolution.
        components: whether the largest component alone is scored, too.
    """
    needs = []
    for case in cases:
        own, (i, j, k) = case.nonzero_shape if plan.crop_nonzero else case.shape, plan.axes
        prepared = prepared_shape((own[i], own[j], own[k]), [case.spacing[axis] for axis in plan.axes], plan)
        memory = volume_memory(
            prepared,
            case.shape,
            channels=len(plan.channels),
            outputs=plan.outputs,
            patch=plan.patch_size,
            filters=filters,
            components=components and plan.regions_class_order is None,
        )
        needs.append((memory.total, case.shape))
    most, shape = max(needs)
    needed = f"≈ {most / 1e9:.2g} GB"
    return f"  {'memory':14} {needed:>10}  {crossed(shape)} voxels, the largest case, scored as a whole"


def line(stage: str, seconds: float, task: str) -> str:
    """Return a row of a forecast.

    >>> line("deployment", 90.4, "the network trained on 1 fold")
    '  deployment      ≈ 0:01:30  the network trained on 1 fold'
    """
    return f"  {stage:14} {f'≈ {timedelta(seconds=round(seconds))}':>10}  {task}"


def too_long(run: Run, seconds: float) -> Iterator[str]:
    """Yield a sentence where counts that are fixed make a run of so many ``seconds``, longer than its budget."""
    budget = run.config.seconds
    if budget is None or seconds <= TOLERATED * budget:
        return
    request = request_for(run.folder)
    fixed = [name for name in COUNTS if not request.free(name) and value_at(run.config, name)]
    if fixed:
        yield (
            f"That is {seconds / budget:.1f} times the budget of {duration(budget)}, for {some(fixed)} "
            f"{'is' if len(fixed) == 1 else 'are'} fixed. Counts that are not follow from the time; coarser voxels "
            "(plan.spacing) make all of it faster."
        )


def left_out(run: Run) -> Iterator[str]:
    """Yield a sentence on what the time does not pay for, and on the budget that would."""
    config = run.config
    if config.kind == "training" or config.hours is None or config.seconds is None:
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
    prepared, timings = preparation_of(run), expected_timings(run)
    wanted = missing[-1] if cases >= FEWEST_CASES else missing[0]
    hours = hours_to_search(lambda hours: _of_hours(run, request, prepared, timings, hours), wanted, config.hours)
    what = UNSEARCHED[missing[0]] if config.searches else "Nothing is searched, and the default architecture is taken"
    buys = f" `--budget {hours:g}h` would pay for it." if hours else ""
    yield (
        f"{what}: {duration(config.seconds)} do not pay for a well trained network and, beside it, for trainings "
        f"long enough to tell candidates apart.{buys}"
    )


def _final_network(run: Run) -> Iterator[str]:
    """Yield what the time does not pay for of a final network whose length follows from it: patches, mirrored views."""
    deployment, request = run.config.deployment, request_for(run.folder)
    recipe = deployment.recipe
    if run.config.hours is None or not request.free(LENGTH) or frozen_by(LENGTH, run.folder):
        return
    few = too_few(recipe, min(len(fold.training) for fold in run.folds))
    if few and not deployment.start:
        seen, least = few
        yield (
            f"The final network will see {plural(seen, 'patch', 'patches')}, where {least:,} are the least to tell "
            "anything by. A longer budget fixes that, and so do coarser voxels (plan.spacing)."
        )
    part, cases = request.part["deployment"]["recipe"] | {"iterations": recipe.iterations}, len(run.folds[-1].training)
    if complete_recipe(part, "deployment", run.plan, recipe.precision, cases).mirror and not recipe.mirror:
        yield "The final network is not averaged over mirrored views, for whose validation there is no time."


def _of_hours(run: Run, request: Request, prepared: Prepared, timings: Timings, hours: float) -> dict[str, Any]:
    """The counts of a search in a budget of so many hours, which may deploy more folds and share its time otherwise."""
    budget = f"{hours:g}h"
    base = load_budget(budget)
    part = requested(budget, request.overrides, base)
    longer = replace(request, budget=budget, base=base, part=part, draft=draft(part, budget), config=None)
    fields = {name: value_at(run.config, name) for name in OF_THE_DATA} | {"width": longer.wider or run.width}
    left = replace(prepared, left=3600 * hours - run.time.seconds)
    own = run.cost(middle_network(run.config.space, run.width)).macs

    def measured(design: Design, recipe: Recipe) -> Timings:
        return timings.times(run.cost(design).macs / own)  # of a wider network more than it really takes

    config = configure(longer, fields, left, measured)
    return {name: value_at(config, name) for name in SEARCHED}


def _done(run: Run) -> dict[str, float]:
    """The share of each stage that is done."""
    found = {each.name: float(each.finished) or each.done / max(1, each.total) for each in stages_of(run)}
    final, length = [read_job(run.folder.final_fold(fold)) for fold in run.final_folds], run.config.deployment.recipe
    return found | {"deployment": mean(float(job.done) or job.curve.done / length.iterations for job in final)}
