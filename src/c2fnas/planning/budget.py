"""Time budgets: counts of what is left of a run, from measured seconds, a count of the work and the time that remains.

Pure functions. They are called at the start of every stage, so that a run that is slower or faster than was thought
still ends with its budget (docs/decisions/0100).
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, inf, prod
from statistics import mean
from typing import Any

from c2fnas.data.plan import Plan
from c2fnas.inference.ensemble import FLIPS
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.planning.timings import Timings
from c2fnas.runs.allowance import VERDICT_SHARE, affordable_references, kept_for_the_end, verdict_allowance
from c2fnas.runs.config import FineConfig, RunConfig
from c2fnas.search import successive_halving
from c2fnas.shapes import Size
from c2fnas.training.recipe import PaperStage, Recipe

MOST_ITERATIONS = 10_000_000
START_SECONDS = 8.0  # a worker process imports torch and opens the cache
SHARED = 1.4  # what the tree of a few hundred candidates saves at least, see benchmarks/path_ranking.py
CASE_OVERHEAD = 0.05  # seconds to map a case back to its own geometry and compare it with the truth
FEWEST_CANDIDATES, FEWEST_PATHS, FEWEST_CASES = 8, 16, 3
"""Topologies, paths, and cases to rank them on, below which a stage says nothing."""

RecipeOf = Callable[[PaperStage, int], Recipe]
"""``(stage, iterations)`` to the stage's recipe of this length: it may augment and mirror from some length on."""


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


TO_COMPARE = Enough(views=300, passes=2)
"""From here on trainings of two topologies can be told apart at all (docs/decisions/0102)."""
TO_DEPLOY = Enough(views=10_000, passes=100)
"""The final network comes first: nothing is searched before it has so much."""
OPERATIONS = 3
"""A super-network trains one of three operations at a time, and needs as much more."""


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
    """

    validation_cases: int
    windows: float
    ranking_windows: float
    devices: int
    folds: int = 1
    training_cases: int = 1
    coverage: float = 1.0
    every_case: bool = False

    @property
    def networks(self) -> int:
        """Networks to deploy: of the folds, and of every case."""
        return self.folds + self.every_case


def workload(plan: Plan, shapes: Sequence[Size], devices: int, folds: int, **more: Any) -> Workload:
    """Count the windows over validation cases of the prepared ``shapes``; ``more`` are other fields."""

    def windows(stride: Size) -> float:
        window = SlidingWindow(patch_size=plan.patch_size, stride=stride)
        return mean(len(window.windows(shape)) for shape in shapes)

    return Workload(len(shapes), windows(plan.stride), windows(plan.ranking_stride), devices, folds, **more)


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


def scheduled(
    config: RunConfig,
    timings: Timings,
    work: Workload,
    recipe_of: RecipeOf,
    left: float,
    stage: str = "coarse",
    free: Callable[[str], bool] = lambda field: True,
) -> dict[str, Any]:
    """Return the counts of ``stage`` and those after it that the seconds ``left`` pay, by field.

    The final network comes first: where its part of the time is not enough to train it well, nothing is searched, and
    all of the time is its own. Each stage that is left has its share of what is left. A stage that cannot pay for
    trainings that say something has no evaluations or candidates, and its share goes to the others.

    Args:
        config: the shares, and the most evaluations and candidates.
        timings: of the network that is trained.
        work: to be done.
        recipe_of: recipes of any length.
        left: seconds of the budget.
        stage: ``coarse``, ``super-network``, ``ranking`` or ``deployment``.
        free: true for fields that may be changed; what a user has set is not.
    """
    return {
        name: value
        for name, value in _Schedule(config, timings, work, recipe_of, left, free).counts(stage).items()
        if free(name)
    }


class _Schedule:
    """The arithmetic of :func:`scheduled`."""

    def __init__(
        self,
        config: RunConfig,
        timings: Timings,
        work: Workload,
        recipe_of: RecipeOf,
        left: float,
        free: Callable[[str], bool],
    ) -> None:
        assert config.hours is not None
        assert config.shares is not None
        self._config, self._shares, self._free = config, config.shares, free
        self._timings, self._work, self._recipe_of = timings, work, recipe_of
        self._budget = 3600 * config.hours
        self._left = max(0.0, left - kept_for_the_end(self._budget))

    def counts(self, stage: str) -> dict[str, Any]:
        config = self._config
        if config.kind == "training" or not config.searches:
            return self._final(self._left)
        if stage == "deployment":
            return self._final(self._for_final(1.0))
        shares = {"coarse": self._shares.coarse, "supernet": self._shares.supernet, "ranking": self._shares.ranking}
        names = {"coarse": 0, "super-network": 1, "ranking": 2}
        ahead = dict(list(shares.items())[names[stage] :])
        final = self._for_final(self._shares.deployment / (sum(ahead.values()) + self._shares.deployment))
        search = self._left - final * (1 + self._verdict_rounds / self._rounds)
        if stage == "coarse" and not self._asked("coarse.evaluations") and self._too_little(final):
            return self._nothing_searched()
        if "coarse" in ahead and not config.coarse.evaluations:
            del ahead["coarse"]
        if "ranking" in ahead and not config.fine.candidates:
            ahead = {name: share for name, share in ahead.items() if name == "coarse"}
        return self._searched(ahead, search, final)

    def _searched(self, ahead: dict[str, float], search: float, final: float) -> dict[str, Any]:
        """Counts where ``ahead`` are searched; what says nothing is left out, and the rest is shared anew."""
        whole = sum(ahead.values())
        part = {name: search * share / whole for name, share in ahead.items()}
        found: dict[str, Any] = {}
        if "coarse" in part:
            found |= self._coarse(part["coarse"])
            if not found["coarse.evaluations"]:
                return self._nothing_searched()
        if "supernet" in part and self._fine_says_nothing(part["supernet"], part["ranking"]):
            if "coarse" in ahead:
                rest = self._searched({"coarse": ahead["coarse"]}, search, final)
                return rest | {"fine.candidates": 0}
            return {"fine.candidates": 0} | self._final(self._for_final(1.0))
        if "supernet" in part:
            found["fine.recipe.iterations"] = self._fitted("supernet", part["supernet"])
        if "ranking" in part:
            found |= self._ranking(part["ranking"])
        return found | self._final(final)

    def _for_final(self, share: float) -> float:
        """Seconds of the final networks: with a verdict, both together have at most half of the budget."""
        if not self._verdict_rounds:
            return self._left * share
        both = min(self._left, 2 * VERDICT_SHARE * self._budget - kept_for_the_end(self._budget))
        return both * self._rounds / (self._rounds + self._verdict_rounds)

    @property
    def _verdict_rounds(self) -> int:
        """Rounds of references, each as long as one of the final networks': no more of them, so within a quarter."""
        if not (self._config.verdict and self._work.folds):
            return 0
        return min(self._rounds, -(-self._config.references // self._work.devices))

    def _final(self, seconds: float) -> dict[str, Any]:
        return {"deployment.recipe.iterations": self._fitted("deployment", seconds / self._rounds)}

    @property
    def _rounds(self) -> int:
        return -(-self._work.networks // self._work.devices)

    def _too_little(self, final: float) -> bool:
        """True if the final network is not yet trained well by its part of the time."""
        return self._seconds("deployment", self._enough("deployment", TO_DEPLOY)) * self._rounds > final

    def _nothing_searched(self) -> dict[str, Any]:
        return {"coarse.evaluations": 0, "fine.candidates": 0} | self._final(self._left)

    def _coarse(self, seconds: float) -> dict[str, Any]:
        """As many candidates as the share pays at the least length that tells them apart, then what is over to all."""
        most = self._config.coarse.evaluations
        one = self._seconds("coarse", self._enough("coarse", TO_COMPARE))
        count = min(most, self._work.devices * int(seconds / one))
        if not self._free("coarse.evaluations"):
            count = most
        elif count < min(most, FEWEST_CANDIDATES):
            return {"coarse.evaluations": 0}
        rounds = -(-count // self._work.devices)
        return {"coarse.evaluations": count, "coarse.recipe.iterations": self._fitted("coarse", seconds / rounds)}

    def _fine_says_nothing(self, supernet: float, ranking: float) -> bool:
        if self._asked("fine.candidates"):
            return False
        least = OPERATIONS * self._enough("supernet", TO_COMPARE)
        return self._seconds("supernet", least) > supernet or not self._pays(FEWEST_PATHS, FEWEST_CASES, ranking)

    def _ranking(self, seconds: float) -> dict[str, Any]:
        """The ranking's candidates and cases: fewer candidates where not even a few cases can be paid for all."""
        candidates, cases = self._config.fine.candidates, self._work.validation_cases
        while self._free("fine.candidates") and candidates > FEWEST_PATHS:
            if self._pays(candidates, FEWEST_CASES, seconds):
                break
            candidates = max(FEWEST_PATHS, candidates * 3 // 4)
        counts = [count for count in range(1, cases + 1) if self._pays(candidates, count, seconds)]
        return {"fine.candidates": candidates, "fine.cases": max(counts, default=1)}

    def _pays(self, candidates: int, cases: int, seconds: float) -> bool:
        fine = self._config.fine.model_copy(update={"candidates": candidates})
        pairs = ranking_pairs(fine, min(cases, self._work.validation_cases))
        return pairs * pair_seconds(self._timings, self._work) <= seconds * self._work.devices - START_SECONDS

    def _asked(self, field: str) -> bool:
        """True if the user has set the field, and not to nothing."""
        return not self._free(field)

    def _enough(self, stage: PaperStage, enough: Enough) -> int:
        return enough.iterations(self._work, self._recipe_of(stage, 1).batch_size)

    def _seconds(self, stage: PaperStage, iterations: int) -> float:
        return network_seconds(self._recipe_of(stage, iterations), self._timings, self._work, stage)

    def _fitted(self, stage: PaperStage, seconds: float) -> int:
        return affordable_iterations(seconds, partial(self._seconds, stage))


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
    return max(1, bisect_right(range(1, MOST_ITERATIONS), seconds, key=cost))


def hours_to_search(schedule: Callable[[float], dict[str, Any]], field: str, hours: float) -> float | None:
    """Return the least budget above ``hours`` whose schedule has something of ``field``; None below a year.

    ``schedule`` gives the counts of a budget of so many hours.

    >>> hours_to_search(lambda hours: {"coarse.evaluations": 10 if hours > 5 else 0}, "coarse.evaluations", 1)
    6
    """
    ladder = [1, 2, 3, 4, 6, 8, 12, 18, 24, *(24 * days for days in (2, 3, 5, 7, 10, 14, 21, 30, 60, 120, 365))]
    return next((each for each in ladder if each > hours and schedule(each).get(field, 0)), None)


def estimate(config: RunConfig, timings: Timings, work: Workload, left: float = inf) -> dict[str, float]:
    """Return the seconds that each stage of ``config`` will take, by the timings, with ``left`` of the budget."""

    def networks(recipe: Recipe, stage: PaperStage, count: int) -> float:
        devices = 1 if stage == "supernet" else work.devices
        return -(-count // devices) * network_seconds(recipe, timings, work, stage)

    deployment = networks(config.deployment.recipe, "deployment", work.networks)
    if config.kind == "training":
        return {"deployment": deployment}
    stages: dict[str, float] = {}
    if config.coarse.evaluations:
        stages["coarse"] = networks(config.coarse.recipe, "coarse", config.coarse.evaluations)
    if config.fine.candidates:
        pairs = ranking_pairs(config.fine, min(config.fine.cases or work.validation_cases, work.validation_cases))
        stages["super-network"] = networks(config.fine.recipe, "supernet", 1)
        stages["ranking"] = START_SECONDS + pairs * pair_seconds(timings, work) / work.devices
    stages["deployment"] = deployment
    if config.verdict and config.searches and work.folds:
        one = network_seconds(config.deployment.recipe, timings, work, "deployment")
        allowance = verdict_allowance(config, left - sum(stages.values()))
        count = affordable_references(config.references, allowance, one, work.devices)
        count *= work.folds if allowance is None else 1
        stages["verdict"] = networks(config.deployment.recipe, "deployment", count)
    return stages
