"""The plan and the number of cases that the time of a budget pays for."""

import tempfile
from collections.abc import Mapping, Sequence
from math import ceil, prod
from pathlib import Path
from typing import Any

from c2fnas.cores import usable_cores
from c2fnas.data.cache import prepare_cases, preparing_workers
from c2fnas.data.dataset import Dataset
from c2fnas.data.folds import FOLDS, Split, chosen_folds
from c2fnas.data.plan import Plan
from c2fnas.networks.designs import Design
from c2fnas.planning.choice import FLOOR, FLOOR_OF_A_DAY, Weighing, choose_plan, close_ones
from c2fnas.planning.labels import sample_labels
from c2fnas.planning.memory_fit import MemoryFit
from c2fnas.planning.middle import middle_network
from c2fnas.planning.plan import LARGEST_PATCH, make_plan
from c2fnas.planning.presets import complete_recipe
from c2fnas.planning.request import Request
from c2fnas.planning.run_timings import measured_timings
from c2fnas.planning.width import affordable_width
from c2fnas.runs.records.plan_choice import PlanChoice
from c2fnas.runs.run import Run
from c2fnas.runs.timing.allowance import least_of_a_budget
from c2fnas.training.precision import common_precision

PREPARATION_SHARE = 0.25
"""The most of a budget that the preparation of cases may take."""
A_DAY = 24 * 3600
FEWEST_CASES = 2 * FOLDS
"""Cases that a run takes however short its time."""


def affordable_plan(run: Run, data: Dataset, request: Request, fits: MemoryFit, folds: Sequence[Split]) -> Plan:
    """Return the plan that is expected to reach most in the budget's time; what was weighed is told.

    The width that the time trains by this plan is kept beside it.

    Raises:
        ValueError: values of the plan that are asked for contradict each other.
        UserError: a fold is asked for that ``folds`` do not have.
    """
    config, fingerprint, devices = request.draft, run.fingerprint, request.devices
    assert config.seconds is not None
    design = request.design or middle_network(config.space, request.width)
    part, precision = request.part["coarse"]["recipe"], common_precision(devices)

    def make(given: Mapping[str, Any], most: int) -> Plan:
        return make_plan(fingerprint, style="planned", given=given, most_voxels=most, fits=fits)

    def patch_seconds(design: Design, plan: Plan) -> float:
        recipe = complete_recipe(part, "coarse", plan, precision)
        return measured_timings(run, devices, design, recipe, plan).patch

    def pace(plan: Plan) -> float:
        return patch_seconds(design, plan) / prod(plan.patch_size)

    given, budget, cases = config.plan.given, config.seconds, len(folds[-1].training)
    networks = len(chosen_folds(config.deployment.folds, len(folds)))
    seconds = max(budget - run.time.seconds, least_of_a_budget(budget)) / -(-networks // len(devices))
    samples = sample_labels(data, make(given, LARGEST_PATCH).axes)
    if not samples:
        return make(given, LARGEST_PATCH)
    floor = FLOOR_OF_A_DAY if budget >= A_DAY else FLOOR
    found = choose_plan(make, pace, Weighing(samples, fingerprint, seconds, cases, floor), given)
    close = close_ones(found)
    run.reporter.say("\n  close to it: ".join([f"Plan: {found[0].text}", *(each.text for each in close[1:])]))
    weighed = tuple({"text": each.text, "allowed": each.allowed, "expected": each.expected} for each in found)
    width = affordable_width(run, request, close, seconds, cases, patch_seconds)
    PlanChoice(weighed, tuple(close), width).save(run.folder.choice)
    return found[0].plan


def affordable_cases(run: Run, data: Dataset, plan: Plan, hours: float) -> tuple[int, float]:
    """Return how many cases a quarter of a budget prepares, and the hours of the budget that prepares them all.

    One case is prepared to know: the one of the median number of voxels, as one of several that are prepared at a time.
    """
    sizes = {case.id: prod(case.shape) for case in run.fingerprint.cases}
    ordered = sorted((case for case in data.training if case.id in sizes), key=lambda case: sizes[case.id])
    workers = preparing_workers(ordered, plan, usable_cores())
    begun = run.time.now()
    with tempfile.TemporaryDirectory() as folder:
        prepare_cases([ordered[len(ordered) // 2]], plan, Path(folder), workers=workers)
    seconds = max(run.time.now() - begun, 1e-6) / workers
    count = int(PREPARATION_SHARE * 3600 * hours / seconds)
    whole = ceil(seconds * len(ordered) / (PREPARATION_SHARE * 3600))
    return max(FEWEST_CASES, count), whole
