"""Counts of what is left of a run, from measured seconds, a count of the work and the time that remains.

Pure functions. They are called at the start of every stage, so that a run that is slower or faster than was thought
still ends with its budget (docs/decisions/0100).
"""

from collections.abc import Callable
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
    ranking_pairs,
)
from c2fnas.planning.presets import STAGES
from c2fnas.planning.timings import Timings
from c2fnas.runs.config import RunConfig
from c2fnas.runs.repetition import MIRROR
from c2fnas.runs.timing.allowance import (
    VERDICT_SHARE,
    affordable_references,
    cost_of_references,
    kept_for_the_end,
    least_of_a_budget,
)
from c2fnas.training.recipe import PaperStage, Recipe

FEWEST_CANDIDATES, FEWEST_PATHS, FEWEST_CASES = 8, 16, 3
"""Topologies, paths, and cases to rank them on, below which a stage says nothing."""
OPERATIONS = 3
"""A super-network trains one of three operations at a time, and needs as much more."""

RecipeOf = Callable[[PaperStage, int], Recipe]
"""``(stage, iterations)`` to the stage's recipe of this length: it may mirror from some length on."""

Part = Literal["coarse", "supernet", "ranking"]
PARTS: tuple[Part, ...] = ("coarse", "supernet", "ranking")
"""Stages of the search that have a share of the time."""
LENGTH = "deployment.recipe.iterations"
"""The field of the final network's length, which says with MIRROR what its time pays for."""
ASKED_BY: dict[Part, str] = {
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
        saved: float,
    ) -> None:
        assert config.hours is not None
        assert config.shares is not None
        self._config, self._shares, self._free = config, config.shares, free
        self._timings, self._work, self._recipe_of = timings, work, recipe_of
        self._budget = 3600 * config.hours
        self._left = max(least_of_a_budget(self._budget), left - kept_for_the_end(self._budget))
        self._saved = min(saved, self._left)

    def counts(self, stage: str) -> dict[str, Any]:
        config = self._config
        if config.kind == "training" or not config.searches:
            return self._final(self._left)
        if stage == "deployment":
            return self._final(self._for_final(()))
        first = {"coarse": 0, "super-network": 1, "ranking": 2}[stage]
        most = {"coarse.evaluations": config.coarse.evaluations, "fine.candidates": config.fine.candidates}
        ahead = tuple(part for part in PARTS[first:] if most[ASKED_BY[part]])
        if first == 0 and self._too_little(self._for_final(ahead)):
            asked = tuple(part for part in ahead if self._asked(ASKED_BY[part]))
            return {ASKED_BY[part]: 0 for part in ahead if part not in asked} | self._searched(asked, begun=False)
        return self._searched(ahead, begun=first > 0 and config.coarse.evaluations > 0)

    def _searched(self, ahead: tuple[Part, ...], begun: bool) -> dict[str, Any]:
        """Counts where ``ahead`` are searched; what says nothing is left out, and the rest is shared anew.

        Where nothing is ahead and nothing has ``begun``, there is nothing to judge either.
        """
        if not ahead:
            return self._final(self._for_final(()) if begun else self._left)
        final = self._for_final(ahead)
        part = self._parts(ahead, max(0.0, self._left - final * (1 + self._verdict)))
        found: dict[str, Any] = {}
        if "coarse" in part:
            found |= self._coarse(part["coarse"])
            if not found["coarse.evaluations"]:
                rest = tuple(each for each in ahead if each != "coarse" and self._asked(ASKED_BY[each]))
                return {"coarse.evaluations": 0, "fine.candidates": 0} | self._searched(rest, begun)
        if "supernet" in part and self._fine_says_nothing(part["supernet"], part["ranking"]):
            return {"fine.candidates": 0} | self._searched(ahead[: ahead.index("supernet")], begun)
        if "supernet" in part:
            found["fine.recipe.iterations"] = self._fitted("supernet", part["supernet"])
        if "ranking" in part:
            found |= self._ranking(part["ranking"])
        return found | self._final(final)

    def _parts(self, ahead: tuple[Part, ...], seconds: float) -> dict[Part, float]:
        """The seconds of each stage ahead: what its set values cost, else its share of the rest."""
        costs = self._set_costs(ahead)
        rest = max(0.0, seconds - sum(costs.values()))
        whole = sum(getattr(self._shares, part) for part in ahead if part not in costs)
        own = {part: min(seconds, cost) for part, cost in costs.items()}
        return {part: own[part] if part in own else rest * getattr(self._shares, part) / whole for part in ahead}

    def _set_costs(self, ahead: tuple[Part, ...]) -> dict[Part, float]:
        """The seconds of the stages whose counts a user has set."""
        config, found = self._config, dict[Part, float]()
        length = self._set("coarse")
        if "coarse" in ahead and length and not self._free("coarse.evaluations"):
            rounds = -(-config.coarse.evaluations // self._work.devices)
            found["coarse"] = rounds * self._seconds("coarse", length)
        if "supernet" in ahead and (length := self._set("supernet")):
            found["supernet"] = self._seconds("supernet", length)
        if "ranking" in ahead and not (self._free("fine.candidates") or self._free("fine.cases")):
            cases = config.fine.cases or self._work.validation_cases
            found["ranking"] = self._ranking_seconds(config.fine.candidates, cases)
        return found

    def _for_final(self, ahead: tuple[Part, ...]) -> float:
        """Seconds of the final networks: with a verdict, both together have at most half of the budget.

        The time that the coarse stage has saved comes on top.
        """
        if length := self._set("deployment"):
            return self._seconds("deployment", length) * self._rounds
        costs = self._set_costs(ahead)
        left = max(least_of_a_budget(self._budget), self._left - sum(costs.values()))
        if self._verdict:
            both = min(left, 2 * VERDICT_SHARE * self._budget - kept_for_the_end(self._budget) + self._saved)
            return both / (1 + self._verdict)
        others = sum(getattr(self._shares, part) for part in ahead if part not in costs)
        saved = min(self._saved, left)
        return (left - saved) * self._shares.deployment / (others + self._shares.deployment) + saved

    @property
    def _verdict(self) -> float:
        """The time of the references in parts of that of the final networks: they have no more of it."""
        if not (self._config.verdict and self._work.folds):
            return 0.0
        cost = cost_of_references(1.0, self._work.networks, self._work.devices, self._timings.alone)
        return cost(affordable_references(self._config.references, self._rounds, cost)) / self._rounds

    def _final(self, seconds: float) -> dict[str, Any]:
        """The length of the final networks; one that would mirror does so without mirrored views where these don't fit.

        Validation over eight views begins with the length at which patches are mirrored. Where there is no time for it,
        a shorter, unmirrored training would leave the rest of the time unused.
        """
        each = seconds / self._rounds
        length = self._fitted("deployment", each)
        now, more = (self._recipe_of("deployment", count) for count in (length, length + 1))
        if now.mirror or not more.mirror or not self._free(LENGTH):
            return {LENGTH: length}
        return {LENGTH: affordable_iterations(each, partial(self._seconds, "deployment", views=False)), MIRROR: False}

    @property
    def _rounds(self) -> int:
        return -(-self._work.networks // self._work.devices)

    def _too_little(self, final: float) -> bool:
        """True if the final network is not yet trained well by its part of the time; a length that is set is enough."""
        if self._set("deployment"):
            return False
        return self._seconds("deployment", self._enough("deployment", TO_DEPLOY)) * self._rounds > final

    def _coarse(self, seconds: float) -> dict[str, Any]:
        """As many candidates as the share pays at the least length that tells them apart, then what is over to all."""
        most = self._config.coarse.evaluations
        one = self._seconds("coarse", self._set("coarse") or self._enough("coarse", TO_COMPARE))
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
        if self._work.validation_cases < FEWEST_CASES:
            return True
        least = self._set("supernet") or OPERATIONS * self._enough("supernet", TO_COMPARE)
        return self._seconds("supernet", least) > supernet or not self._pays(FEWEST_PATHS, FEWEST_CASES, ranking)

    def _ranking(self, seconds: float) -> dict[str, Any]:
        """The ranking's candidates and cases: fewer candidates where not even a few cases can be paid for all."""
        candidates, cases = self._config.fine.candidates, self._work.validation_cases
        least = FEWEST_CASES if self._free("fine.cases") else self._config.fine.cases or cases
        while self._free("fine.candidates") and candidates > FEWEST_PATHS:
            if self._pays(candidates, least, seconds):
                break
            candidates = max(FEWEST_PATHS, candidates * 3 // 4)
        counts = [count for count in range(1, cases + 1) if self._pays(candidates, count, seconds)]
        return {"fine.candidates": candidates, "fine.cases": max(counts, default=1)}

    def _pays(self, candidates: int, cases: int, seconds: float) -> bool:
        return self._ranking_seconds(candidates, cases) <= seconds

    def _ranking_seconds(self, candidates: int, cases: int) -> float:
        fine = self._config.fine.model_copy(update={"candidates": candidates})
        pairs = ranking_pairs(fine, min(cases, self._work.validation_cases))
        return START_SECONDS + pairs * pair_seconds(self._timings, self._work) / self._work.devices

    def _asked(self, field: str) -> bool:
        """True if the user has set the field, and not to nothing."""
        section, _, name = field.partition(".")
        return not self._free(field) and bool(getattr(getattr(self._config, section), name))

    def _set(self, stage: PaperStage) -> int | None:
        """The iterations of a stage where the user has set them."""
        section = next(section for section, each in STAGES.items() if each == stage)
        set_ = not self._free(f"{section}.recipe.iterations")
        return getattr(self._config, section).recipe.iterations if set_ else None

    def _enough(self, stage: PaperStage, enough: Enough) -> int:
        return enough.iterations(self._work, self._recipe_of(stage, 1).batch_size)

    def _seconds(self, stage: PaperStage, iterations: int, views: bool = True) -> float:
        """The seconds of a network, one of as many at a time as the stage has; perhaps without mirrored views."""
        jobs = {"coarse": self._work.devices, "supernet": 1, "deployment": self._work.networks}[stage]
        timings, recipe = self._timings.beside(jobs, self._work.devices), self._recipe_of(stage, iterations)
        recipe = recipe if views else recipe.model_copy(update={"mirror": False})
        return network_seconds(recipe, timings, self._work, stage)

    def _fitted(self, stage: PaperStage, seconds: float) -> int:
        return affordable_iterations(seconds, partial(self._seconds, stage))
