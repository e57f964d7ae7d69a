"""Time budgets: the work of a run, counted, and the seconds that it takes by what was measured. Pure functions."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, inf, prod
from statistics import mean
from typing import Any

from c2fnas.data.plan import Plan
from c2fnas.inference.ensemble import FLIPS
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.runs.config import RunConfig
from c2fnas.runs.timing.allowance import affordable_references, cost_of_references, verdict_allowance
from c2fnas.runs.timing.timings import Timings
from c2fnas.shapes import Size
from c2fnas.training.recipe import PaperStage, Recipe
from c2fnas.training.shortness import LEAST_PASSES, LEAST_VIEWS

MOST_ITERATIONS = 10_000_000
START_SECONDS = 8.0  # a worker process imports torch and opens the cache
SHARED = 1.4  # what the tree of a few hundred candidates saves at least, see benchmarks/path_ranking.py
CASE_OVERHEAD = 0.05  # seconds to map a case back to its own geometry and compare it with the truth

BACKWARD = 3
"""A training step of a patch in forward passes: the backward pass takes two."""

STRIDE_PARTS = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), Fraction(1))
"""Strides of validations to choose among, as parts of the patch."""


@dataclass(frozen=True)
class Enough:
    """The training that is enough for a purpose, counted in views of the foreground of a whole case.

    A patch that holds a third of the foreground is a third of a view. ``passes`` are over all training cases.
    """

    views: float
    passes: float

    def iterations(self, work: "Workload", batch: int) -> int:
        """Return the least iterations that are enough."""
        return ceil(max(self.views, self.passes * work.training_cases) / (batch * work.coverage))


TO_COMPARE = Enough(views=LEAST_VIEWS, passes=LEAST_PASSES)
"""From here on trainings of two topologies can be told apart at all (docs/decisions/0102)."""
TO_DEPLOY = Enough(views=10_000, passes=100)
"""The final network comes first: nothing is searched before it has so much."""
TO_WIDEN = Enough(views=4_000, passes=20)
"""From here on a network has twice as many filters (docs/decisions/0179)."""


@dataclass(frozen=True)
class Workload:
    """Work, counted.

    Attributes:
        validation_cases: of the search.
        windows: of a case at the plan's stride, on average.
        ranking_windows: the same at the ranking's stride.
        devices: that work at a time.
        folds: to deploy.
        training_cases: of the search.
        coverage: the share of a case's foreground that a patch shows on average.
        every_case: true where a network of every case is deployed, too.
        validate_every: iterations of a final network between two validations on the way; None: there are none.
    """

    validation_cases: int
    windows: float
    ranking_windows: float
    devices: int
    folds: int = 1
    training_cases: int = 1
    coverage: float = 1.0
    every_case: bool = False
    validate_every: int | None = None

    @property
    def networks(self) -> int:
        """Networks to deploy: of the folds, and of every case."""
        return self.folds + self.every_case


def workload(plan: Plan, shapes: Sequence[Size], devices: int, folds: int, **more: Any) -> Workload:
    """Count the windows over validation cases of the prepared ``shapes``; ``more`` are other fields."""
    windows, ranking = (mean(windows_of(plan, stride, shapes)) for stride in (plan.stride, plan.ranking_stride))
    return Workload(len(shapes), windows, ranking, devices, folds, **more)


def windows_of(plan: Plan, stride: Size, shapes: Sequence[Size]) -> list[int]:
    """Return the number of windows over each case of the prepared ``shapes`` at a stride."""
    window = SlidingWindow(patch_size=plan.patch_size, stride=stride)
    return [len(window.windows(shape)) for shape in shapes]


def affordable_stride(plan: Plan, shapes: Sequence[Size], recipe: Recipe, share: float) -> Size:
    """The finest stride, from the plan's on, whose windows over ``shapes`` are worth ``share`` of the recipe's steps.

    Coarse candidates are validated with it. Where even windows without overlap cost more, these.
    """
    affordable = share * BACKWARD * recipe.iterations * recipe.batch_size
    choices = [plan.stride, *coarser_strides(plan)]
    return next((stride for stride in choices if sum(windows_of(plan, stride, shapes)) <= affordable), choices[-1])


def coarser_strides(plan: Plan) -> list[Size]:
    """Parts of the patch that are nowhere finer than the plan's stride, and somewhere coarser."""
    parts = [_part(plan.patch_size, part) for part in STRIDE_PARTS]
    return [
        stride
        for stride in parts
        if stride != plan.stride and all(step >= least for step, least in zip(stride, plan.stride, strict=True))
    ]


def _part(patch: Size, part: Fraction) -> Size:
    i, j, k = (max(1, round(side * part)) for side in patch)
    return i, j, k


def coverage(patch: Sequence[float], shape: Sequence[float], box: Sequence[float], rate: float) -> float:
    """Return the share of a case's foreground that a patch shows on average.

    Args:
        patch: its sides in voxels.
        shape: the case's.
        box: sides of the box that holds the foreground.
        rate: the share of patches that are centred on a voxel of the foreground.

    >>> coverage((96, 96, 8), (192, 192, 8), (48, 48, 8), rate=0.5)
    0.625
    """
    random = prod(min(1.0, side / whole) for side, whole in zip(patch, shape, strict=True))
    centred = prod(min(1.0, side / max(1.0, inside)) for side, inside in zip(patch, box, strict=True))
    return rate * max(centred, random) + (1 - rate) * random


def pair_seconds(timings: Timings, work: Workload) -> float:
    """Return the seconds of a pair of candidate and case, in a tree with others."""
    return work.ranking_windows * timings.window / SHARED + CASE_OVERHEAD


def network_seconds(recipe: Recipe, timings: Timings, work: Workload, stage: PaperStage) -> float:
    """Return the seconds of a network on its device: start, training, and validation where the stage has one.

    Deployed networks alone are validated over mirrored views, and on the way where that is asked for.
    """
    patch = timings.patch + timings.augmenting(recipe)
    training = START_SECONDS + recipe.iterations * recipe.batch_size * patch
    if stage == "supernet":
        return training
    views = len(FLIPS) if stage == "deployment" and recipe.mirror else 1
    if stage == "deployment" and work.validate_every:
        views += ceil(recipe.iterations / work.validate_every)
        training += work.validation_cases * CASE_OVERHEAD * (views - 1)
    return training + work.validation_cases * (views * work.windows * timings.window + CASE_OVERHEAD)


def affordable_iterations(seconds: float, cost: Callable[[int], float]) -> int:
    """Return the most iterations of a network whose ``cost`` in seconds, rising with them, is within ``seconds``.

    >>> affordable_iterations(100, lambda iterations: 10 + 0.5 * iterations)
    180
    """
    return max(1, bisect_right(range(1, MOST_ITERATIONS), seconds, key=cost))


def hours_to_search(schedule: Callable[[float], dict[str, Any]], field: str, hours: float) -> float | None:
    """Return the least budget above ``hours`` whose schedule has something of ``field``; None below a year.

    ``schedule`` gives the counts of a budget of so many hours.

    >>> hours_to_search(lambda hours: {"coarse.evaluations": 10 if hours > 5 else 0}, "coarse.evaluations", 1)
    6
    """
    ladder = [1, 2, 3, 4, 6, 8, 12, 18, 24, *(24 * days for days in (2, 3, 5, 7, 10, 14, 21, 30, 60, 120, 365))]
    return next((each for each in ladder if each > hours and schedule(each).get(field, 0)), None)


def estimate(
    config: RunConfig, timings: Timings, work: Workload, left: float = inf, done: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return the seconds that each stage of ``config`` will still take, by the timings.

    Args:
        config: the counts.
        timings: of the network that is trained.
        work: to be done.
        left: seconds of the budget.
        done: the share of each stage that is done; a stage that is done is left out.
    """

    def networks(recipe: Recipe, stage: PaperStage, count: int, jobs: int | None = None) -> float:
        own = timings.beside(count if jobs is None else jobs, work.devices)
        return -(-count // work.devices) * network_seconds(recipe, own, work, stage)

    stages: dict[str, float] = {}
    searched = config.kind == "search"
    if searched and config.coarse.evaluations:
        stages["coarse"] = networks(config.coarse.recipe, "coarse", config.coarse.evaluations, work.devices)
    if searched and config.fine.candidates:
        pairs = config.fine.pairs(min(config.fine.cases or work.validation_cases, work.validation_cases))
        stages["super-network"] = networks(config.fine.recipe, "supernet", 1)
        stages["ranking"] = START_SECONDS + pairs * pair_seconds(timings, work) / work.devices
    stages["deployment"] = networks(config.deployment.recipe, "deployment", work.networks)
    rest = {name: seconds * (1 - (done or {}).get(name, 0.0)) for name, seconds in stages.items()}
    if searched and config.verdict and config.searches and work.folds:
        one = stages["deployment"] / -(-work.networks // work.devices)
        cost = cost_of_references(one, work.networks, work.devices, timings.alone)
        allowance = verdict_allowance(config, left - sum(rest.values()))
        count = affordable_references(config.references, allowance, cost)
        count *= work.folds if allowance is None else 1
        rest["verdict"] = cost(count) * (1 - (done or {}).get("verdict", 0.0))
    return {name: seconds for name, seconds in rest.items() if seconds or not done}
