"""Time budgets: iteration counts and forecasts from a few measured seconds and a count of the work. Pure functions."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import mean
from typing import Any

from c2fnas.data.plan import Plan
from c2fnas.inference.ensemble import FLIPS
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.planning.timings import Timings
from c2fnas.runs.config import FineConfig, RunConfig, Shares
from c2fnas.runs.summary import stage_tasks
from c2fnas.search import successive_halving
from c2fnas.shapes import Size
from c2fnas.space.geometry import by
from c2fnas.training.recipe import PaperStage, Recipe

FEWEST_ITERATIONS, MOST_ITERATIONS = 20, 10_000_000
START_SECONDS = 8.0  # a worker process imports torch and opens the cache
SHARED = 1.4  # what the tree of a few hundred candidates saves at least, see benchmarks/path_ranking.py
CASE_OVERHEAD = 0.05  # seconds to map a case back to its own geometry and compare it with the truth
TIME_FOR_FOLDS = 0.95
"""The share of a time budget for training and evaluation where nothing is searched; the rest is for preparation."""

VERDICT_SHARE = 0.25
"""The most of a time budget that a verdict may cost: each reference is trained once, and the last ones are left out."""

RecipeOf = Callable[[PaperStage, int], Recipe]
"""``(stage, iterations)`` to the stage's recipe of this length: it may augment and mirror from some length on."""


@dataclass(frozen=True)
class Workload:
    """Work, counted: validation cases, mean windows of a case at either stride, folds to deploy, and devices."""

    validation_cases: int
    windows: float
    ranking_windows: float
    devices: int
    folds: int = 1
    every_case: bool = False

    @property
    def networks(self) -> int:
        """Networks to deploy: of the folds, and of every case."""
        return self.folds + self.every_case


def workload(plan: Plan, shapes: Sequence[Size], devices: int, folds: int, every_case: bool = False) -> Workload:
    """Count the windows over validation cases of the prepared ``shapes``."""

    def windows(stride: Size) -> float:
        window = SlidingWindow(patch_size=plan.patch_size, stride=stride)
        return mean(len(window.windows(shape)) for shape in shapes)

    return Workload(len(shapes), windows(plan.stride), windows(plan.ranking_stride), devices, folds, every_case)


def scheduled(config: RunConfig, timings: Timings, work: Workload, recipe_of: RecipeOf) -> dict[str, Any]:
    """Return the iterations of every recipe and the ranking's cases that fit the hours of ``config``, by field.

    Each stage's share of the budget, on all devices together, is spent on its networks. A training without search has
    all of the time for its folds.
    """
    assert config.hours is not None
    assert config.shares is not None
    seconds, shares = config.hours * 3600, config.shares

    def fitted(stage: PaperStage, share: float, rounds: float) -> int:
        def cost(iterations: int) -> float:
            return network_seconds(recipe_of(stage, iterations), timings, work, stage)

        return affordable_iterations(seconds * share / rounds, cost)

    if config.kind == "training":
        rounds = -(-work.networks // work.devices)
        return {"deployment.recipe.iterations": fitted("deployment", TIME_FOR_FOLDS, rounds)}
    config = config.model_copy(update={"references": affordable_references(config, work)})
    final = final_rounds(config, work)
    if config.verdict and work.folds:
        final = max(final, shares.deployment * verdict_rounds(config, work) / VERDICT_SHARE)
    return {
        "references": config.references,
        "coarse.recipe.iterations": fitted("coarse", shares.coarse, config.coarse.evaluations / work.devices),
        "fine.recipe.iterations": fitted("supernet", shares.supernet, 1),
        "fine.cases": _ranking_cases(config.fine, shares, seconds, timings, work),
        "deployment.recipe.iterations": fitted("deployment", shares.deployment, final),
    }


def _ranking_cases(fine: FineConfig, shares: Shares, seconds: float, timings: Timings, work: Workload) -> int:
    affordable = seconds * shares.ranking * work.devices / pair_seconds(timings, work)
    counts = range(1, work.validation_cases + 1)
    return max((count for count in counts if ranking_pairs(fine, count) <= affordable), default=1)


def final_rounds(config: RunConfig, work: Workload) -> float:
    """Count the trainings with the deployment's recipe that follow one another on a device, a verdict's last."""
    own = work.networks / min(work.devices, work.networks)
    return own + (verdict_rounds(config, work) if config.verdict and work.folds else 0)


def verdict_rounds(config: RunConfig, work: Workload) -> float:
    """Count the trainings of a verdict that follow one another on a device: in a time budget each network has one."""
    count = config.references * (work.folds if config.hours is None else 1)
    return count / min(work.devices, count)


def affordable_references(config: RunConfig, work: Workload) -> int:
    """Return as many of the configuration's references as a quarter of the time budget is enough for, at least one."""

    def share(count: int) -> float:
        tried = config.model_copy(update={"references": count})
        assert config.shares is not None
        return config.shares.deployment * verdict_rounds(tried, work) / final_rounds(tried, work)

    counts = range(1, config.references + 1)
    return max((count for count in counts if share(count) <= VERDICT_SHARE), default=1)


def ranking_pairs(fine: FineConfig, cases: int) -> int:
    """Count the pairs of candidate and case that a ranking on ``cases`` cases scores, its audit included."""
    return successive_halving.pairs(fine.candidates, cases, fine.rungs, fine.audit)


def pair_seconds(timings: Timings, work: Workload) -> float:
    """Return the seconds of a pair of candidate and case, in a tree with others."""
    return work.ranking_windows * timings.window / SHARED + CASE_OVERHEAD


def network_seconds(recipe: Recipe, timings: Timings, work: Workload, stage: PaperStage) -> float:
    """Return the seconds of a network on its device: start, training, and validation where the stage has one.

    Deployed networks alone are validated over mirrored views.
    """
    patch = timings.patch + (timings.augmentation if recipe.augmentation == "modern" else 0)
    training = START_SECONDS + recipe.iterations * recipe.batch_size * patch
    if stage == "supernet":
        return training
    views = len(FLIPS) if stage == "deployment" and recipe.mirror else 1
    return training + work.validation_cases * (views * work.windows * timings.window + CASE_OVERHEAD)


def affordable_iterations(seconds: float, cost: Callable[[int], float]) -> int:
    """Return the most iterations of a network whose ``cost`` in seconds, rising with them, is within ``seconds``.

    >>> affordable_iterations(100, lambda iterations: 10 + 0.5 * iterations)
    180
    """
    return max(FEWEST_ITERATIONS, bisect_right(range(1, MOST_ITERATIONS), seconds, key=cost))


def estimate(config: RunConfig, timings: Timings, work: Workload) -> dict[str, float]:
    """Return the seconds that each stage of ``config`` will take, by the timings."""

    def networks(recipe: Recipe, stage: PaperStage, count: int) -> float:
        devices = 1 if stage == "supernet" else work.devices
        return -(-count // devices) * network_seconds(recipe, timings, work, stage)

    deployment = networks(config.deployment.recipe, "deployment", work.networks)
    if config.kind == "training":
        return {"deployment": deployment}
    pairs = ranking_pairs(config.fine, min(config.fine.cases or work.validation_cases, work.validation_cases))
    stages = {
        "coarse": networks(config.coarse.recipe, "coarse", config.coarse.evaluations),
        "super-network": networks(config.fine.recipe, "supernet", 1),
        "ranking": START_SECONDS + pairs * pair_seconds(timings, work) / work.devices,
        "deployment": deployment,
    }
    count = config.references * (work.folds if config.hours is None else 1)
    verdict = networks(config.deployment.recipe, "deployment", count)
    return stages | ({"verdict": verdict} if config.verdict else {})


def forecast(config: RunConfig, patch: Size, timings: Timings, work: Workload) -> str:
    """Return the run's stages as text, with what each does and its expected time."""
    seconds = estimate(config, timings, work)
    tasks = stage_tasks(config, trained=work.folds, every_case=work.every_case)
    rows = [(stage, took, tasks[stage]) for stage, took in seconds.items()]
    rows.append(("together", sum(seconds.values()), f"on {', '.join(config.devices)}"))
    head = (
        f"{config.dataset}, budget {config.budget}, width {config.width:g}, patch {by(patch)}, "
        f"{config.deployment.recipe.precision}, seed {config.seed}"
    )
    return "\n".join(
        [head, *(f"  {stage:14} {f'≈ {timedelta(seconds=round(time))}':>10}  {text}" for stage, time, text in rows)]
    )
