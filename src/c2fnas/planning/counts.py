"""Counts of what is left of a run, from measured seconds, a count of the work and the time that remains.

Pure functions. They are called at the start of every stage, so that a run that is slower or faster than was thought
still ends with its budget (docs/decisions/0100).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from c2fnas.planning.budget import (
    START_SECONDS,
    TO_COMPARE,
    TO_DEPLOY,
    Enough,
    Workload,
    affordable_iterations,
    network_seconds,
    pair_seconds,
)
from c2fnas.planning.presets import STAGES
from c2fnas.runs.config import RunConfig, Shares
from c2fnas.runs.repetition import MIRROR
from c2fnas.runs.timing.allowance import (
    VERDICT_SHARE,
    affordable_references,
    cost_of_references,
    kept_for_the_end,
    least_of_a_budget,
)
from c2fnas.runs.timing.timings import Timings
from c2fnas.training.recipe import PaperStage, Recipe

FEWEST_CANDIDATES, FEWEST_PATHS, FEWEST_CASES = 8, 16, 3
"""Topologies, paths, and cases to rank them on, below which a stage says nothing."""
OPERATIONS = 3
"""A super-network trains one of three operations at a time, and needs as much more."""

RecipeOf = Callable[[PaperStage, int], Recipe]
"""``(stage, iterations)`` to the stage's recipe of this length: it may mirror from some length on."""

SearchStage = Literal["coarse", "supernet", "ranking"]
SEARCH_STAGES: tuple[SearchStage, ...] = ("coarse", "supernet", "ranking")
"""Stages of the search that have a share of the time."""
LENGTH = "deployment.recipe.iterations"
"""The field of the final network's length, which says with MIRROR what its time pays for."""
ASKED_BY: dict[SearchStage, str] = {
    "coarse": "coarse.evaluations",
    "supernet": "fine.candidates",
    "ranking": "fine.candidates",
}
"""The field by which a stage is asked for, or left out."""


def scheduled(
    config: RunConfig,
    timings: Timings,
    work: Workload,
    recipe_of: RecipeOf,
    left: float,
    stage: str = "coarse",
    free: Callable[[str], bool] = lambda field: True,
    saved: float = 0.0,
) -> dict[str, Any]:
    """Return the counts of ``stage`` and those after it that the seconds ``left`` pay, by field.

    The final network comes first: where its part of the time is not enough to train it well, nothing is searched, and
    all of the time is its own. Each stage that is left has its share of what is left. A stage that cannot pay for
    trainings that say something has no evaluations or candidates, and its share goes to the others. What a user has set
    is not changed, and its cost is taken off first.

    Args:
        config: the shares, and the most evaluations and candidates.
        timings: of the network that is trained.
        work: to be done.
        recipe_of: recipes of any length.
        left: seconds of the budget.
        stage: ``coarse``, ``super-network``, ``ranking`` or ``deployment``.
        free: true for fields that may be changed; what a user has set is not.
        saved: seconds that a coarse stage that ended early has left to the final network.
    """
    return {
        name: value
        for name, value in _Schedule(config, timings, work, recipe_of, left, free, saved).counts(stage).items()
        if free(name)
    }


@dataclass(frozen=True)
class _Schedule:
    """The arithmetic of :func:`scheduled`."""

    config: RunConfig
    timings: Timings
    work: Workload
    recipe_of: RecipeOf
    remaining: float
    free: Callable[[str], bool]
    saved_before: float

    @property
    def budget(self) -> float:
        assert self.config.seconds is not None
        return self.config.seconds

    @property
    def left(self) -> float:
        """The seconds to be given away: what remains, less what is kept for the end."""
        return max(least_of_a_budget(self.budget), self.remaining - kept_for_the_end(self.budget))

    @property
    def saved(self) -> float:
        return min(self.saved_before, self.left)

    @property
    def shares(self) -> Shares:
        assert self.config.shares is not None
        return self.config.shares

    def counts(self, stage: str) -> dict[str, Any]:
        config = self.config
        if config.kind == "training" or not config.searches:
            return self._final(self.left)
        if stage == "deployment":
            return self._final(self._for_final(()))
        first = {"coarse": 0, "super-network": 1, "ranking": 2}[stage]
        most = {"coarse.evaluations": config.coarse.evaluations, "fine.candidates": config.fine.candidates}
        ahead = tuple(each for each in SEARCH_STAGES[first:] if most[ASKED_BY[each]])
        if first == 0 and self._too_little(self._for_final(ahead)):
            asked = tuple(each for each in ahead if self._asked(ASKED_BY[each]))
            return {ASKED_BY[each]: 0 for each in ahead if each not in asked} | self._searched(asked, begun=False)
        return self._searched(ahead, begun=first > 0 and config.coarse.evaluations > 0)

    def _searched(self, ahead: tuple[SearchStage, ...], begun: bool) -> dict[str, Any]:
        """Counts where ``ahead`` are searched; what says nothing is left out, and the rest is shared anew.

        Where nothing is ahead and nothing has ``begun``, there is nothing to judge either.
        """
        if not ahead:
            return self._final(self._for_final(()) if begun else self.left)
        final = self._for_final(ahead)
        seconds = self._divided(ahead, max(0.0, self.left - final * (1 + self._verdict)))
        found: dict[str, Any] = {}
        if "coarse" in seconds:
            found |= self._coarse(seconds["coarse"])
            if not found["coarse.evaluations"]:
                rest = tuple(each for each in ahead if each != "coarse" and self._asked(ASKED_BY[each]))
                return {"coarse.evaluations": 0, "fine.candidates": 0} | self._searched(rest, begun)
        if "supernet" in seconds and self._fine_says_nothing(seconds["supernet"], seconds["ranking"]):
            return {"fine.candidates": 0} | self._searched(ahead[: ahead.index("supernet")], begun)
        if "supernet" in seconds:
            found["fine.recipe.iterations"] = self._fitted("supernet", seconds["supernet"])
        if "ranking" in seconds:
            found |= self._ranking(seconds["ranking"])
        return found | self._final(final)

    def _divided(self, ahead: tuple[SearchStage, ...], seconds: float) -> dict[SearchStage, float]:
        """The seconds of each stage ahead: what its set values cost, else its share of the rest."""
        costs = self._set_costs(ahead)
        rest = max(0.0, seconds - sum(costs.values()))
        whole = sum(getattr(self.shares, each) for each in ahead if each not in costs)
        own = {each: min(seconds, cost) for each, cost in costs.items()}
        return {each: own[each] if each in own else rest * getattr(self.shares, each) / whole for each in ahead}

    def _set_costs(self, ahead: tuple[SearchStage, ...]) -> dict[SearchStage, float]:
        """The seconds of the stages whose counts a user has set."""
        config, found = self.config, dict[SearchStage, float]()
        length = self._set("coarse")
        if "coarse" in ahead and length and not self.free("coarse.evaluations"):
            rounds = -(-config.coarse.evaluations // self.work.devices)
            found["coarse"] = rounds * self._seconds("coarse", length)
        if "supernet" in ahead and (length := self._set("supernet")):
            found["supernet"] = self._seconds("supernet", length)
        if "ranking" in ahead and not (self.free("fine.candidates") or self.free("fine.cases")):
            cases = config.fine.cases or self.work.validation_cases
            found["ranking"] = self._ranking_seconds(config.fine.candidates, cases)
        return found

    def _for_final(self, ahead: tuple[SearchStage, ...]) -> float:
        """Seconds of the final networks: with a verdict, both together have at most half of the budget.

        The time that the coarse stage has saved comes on top.
        """
        if length := self._set("deployment"):
            return self._seconds("deployment", length) * self._rounds
        costs = self._set_costs(ahead)
        left = max(least_of_a_budget(self.budget), self.left - sum(costs.values()))
        if self._verdict:
            both = min(left, 2 * VERDICT_SHARE * self.budget - kept_for_the_end(self.budget) + self.saved)
            return both / (1 + self._verdict)
        others = sum(getattr(self.shares, each) for each in ahead if each not in costs)
        saved = min(self.saved, left)
        return (left - saved) * self.shares.deployment / (others + self.shares.deployment) + saved

    @property
    def _verdict(self) -> float:
        """The time of the references in parts of that of the final networks: they have no more of it."""
        if not (self.config.verdict and self.work.folds):
            return 0.0
        cost = cost_of_references(1.0, self.work.networks, self.work.devices, self.timings.alone)
        return cost(affordable_references(self.config.references, self._rounds, cost)) / self._rounds

    def _final(self, seconds: float) -> dict[str, Any]:
        """The length of the final networks; one that would mirror does so without mirrored views where these don't fit.

        Validation over eight views begins with the length at which patches are mirrored. Where there is no time for it,
        a shorter, unmirrored training would leave the rest of the time unused.
        """
        each = seconds / self._rounds
        length = self._fitted("deployment", each)
        now, more = (self.recipe_of("deployment", count) for count in (length, length + 1))
        if now.mirror or not more.mirror or not self.free(LENGTH):
            return {LENGTH: length}
        return {LENGTH: affordable_iterations(each, partial(self._seconds, "deployment", views=False)), MIRROR: False}

    @property
    def _rounds(self) -> int:
        return -(-self.work.networks // self.work.devices)

    def _too_little(self, final: float) -> bool:
        """True if the final network is not yet trained well by its part of the time; a length that is set is enough."""
        if self._set("deployment"):
            return False
        return self._seconds("deployment", self._enough("deployment", TO_DEPLOY)) * self._rounds > final

    def _coarse(self, seconds: float) -> dict[str, Any]:
        """As many candidates as the share pays at the least length that tells them apart, then what is over to all."""
        most = self.config.coarse.evaluations
        one = self._seconds("coarse", self._set("coarse") or self._enough("coarse", TO_COMPARE))
        count = min(most, self.work.devices * int(seconds / one))
        if not self.free("coarse.evaluations"):
            count = most
        elif count < min(most, FEWEST_CANDIDATES):
            return {"coarse.evaluations": 0}
        rounds = -(-count // self.work.devices)
        return {"coarse.evaluations": count, "coarse.recipe.iterations": self._fitted("coarse", seconds / rounds)}

    def _fine_says_nothing(self, supernet: float, ranking: float) -> bool:
        if self._asked("fine.candidates"):
            return False
        if self.work.validation_cases < FEWEST_CASES:
            return True
        least = self._set("supernet") or OPERATIONS * self._enough("supernet", TO_COMPARE)
        return self._seconds("supernet", least) > supernet or not self._pays(FEWEST_PATHS, FEWEST_CASES, ranking)

    def _ranking(self, seconds: float) -> dict[str, Any]:
        """The ranking's candidates and cases: fewer candidates where not even a few cases can be paid for all."""
        candidates, cases = self.config.fine.candidates, self.work.validation_cases
        least = FEWEST_CASES if self.free("fine.cases") else self.config.fine.cases or cases
        while self.free("fine.candidates") and candidates > FEWEST_PATHS:
            if self._pays(candidates, least, seconds):
                break
            candidates = max(FEWEST_PATHS, candidates * 3 // 4)
        counts = [count for count in range(1, cases + 1) if self._pays(candidates, count, seconds)]
        return {"fine.candidates": candidates, "fine.cases": max(counts, default=1)}

    def _pays(self, candidates: int, cases: int, seconds: float) -> bool:
        return self._ranking_seconds(candidates, cases) <= seconds

    def _ranking_seconds(self, candidates: int, cases: int) -> float:
        fine = self.config.fine.model_copy(update={"candidates": candidates})
        pairs = fine.pairs(min(cases, self.work.validation_cases))
        return START_SECONDS + pairs * pair_seconds(self.timings, self.work) / self.work.devices

    def _asked(self, field: str) -> bool:
        """True if the user has set the field, and not to nothing."""
        section, _, name = field.partition(".")
        return not self.free(field) and bool(getattr(getattr(self.config, section), name))

    def _set(self, stage: PaperStage) -> int | None:
        """The iterations of a stage where the user has set them."""
        section = next(section for section, each in STAGES.items() if each == stage)
        set_ = not self.free(f"{section}.recipe.iterations")
        return getattr(self.config, section).recipe.iterations if set_ else None

    def _enough(self, stage: PaperStage, enough: Enough) -> int:
        return enough.iterations(self.work, self.recipe_of(stage, 1).batch_size)

    def _seconds(self, stage: PaperStage, iterations: int, views: bool = True) -> float:
        """The seconds of a network, one of as many at a time as the stage has; perhaps without mirrored views."""
        jobs = {"coarse": self.work.devices, "supernet": 1, "deployment": self.work.networks}[stage]
        timings, recipe = self.timings.beside(jobs, self.work.devices), self.recipe_of(stage, iterations)
        recipe = recipe if views else recipe.model_copy(update={"mirror": False})
        return network_seconds(recipe, timings, self.work, stage)

    def _fitted(self, stage: PaperStage, seconds: float) -> int:
        return affordable_iterations(seconds, partial(self._seconds, stage))
