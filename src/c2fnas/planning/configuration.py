"""From a request, the data's plan and the machine at hand to a run's configuration: the room is passed once."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from statistics import mean
from typing import Any

from c2fnas import __version__
from c2fnas.data.folds import EVERY_CASE, Split, chosen_folds
from c2fnas.data.plan import Plan
from c2fnas.networks.designs import Design
from c2fnas.planning.budget import Workload, affordable_stride, coverage, workload
from c2fnas.planning.counts import LENGTH, scheduled
from c2fnas.planning.middle import middle_network
from c2fnas.planning.presets import STAGES, complete_recipe
from c2fnas.planning.request import COUNTS, Request
from c2fnas.runs.config import RunConfig
from c2fnas.runs.overrides import with_values
from c2fnas.runs.repetition import MIRROR
from c2fnas.runs.timing.timings import Timings
from c2fnas.shapes import Size
from c2fnas.training.precision import common_precision
from c2fnas.training.recipe import PaperStage, Recipe

Measure = Callable[[Design, Recipe], Timings]


@dataclass(frozen=True)
class Prepared:
    """The parts of a preparation that planning needs.

    Attributes:
        plan: of the data set.
        folds: in order.
        shapes: prepared sizes of the search's validation cases, in voxels.
        boxes: sides of the box that holds the foreground of each.
        left: seconds that remain of the budget.
        at_a_time: jobs that run at a time; None: one on each device.
        saved: of these, seconds that a coarse stage that ended early has left to the final network.
    """

    plan: Plan
    folds: tuple[Split, ...]
    shapes: tuple[Size, ...]
    boxes: tuple[Size, ...]
    left: float = 0.0
    at_a_time: int | None = None
    saved: float = 0.0


def configure(request: Request, fields: Mapping[str, Any], prepared: Prepared, measure: Measure) -> RunConfig:
    """Return the configuration of a run: width, recipes, counts of a time budget, stride of coarse validations.

    Args:
        request: the budget with the user's overrides.
        fields: those that only preparation knows: width, names, paths and checksums.
        prepared: plan, folds and sizes of cases.
        measure: times a network on the first device; asked where the budget is a time.
    """
    recipes = _Recipes(request, prepared)
    sections = {name: {**request.part[name], "recipe": recipes.of(stage)} for name, stage in STAGES.items()}
    wanted = sections["deployment"].get("folds", "last")
    sections["deployment"]["folds"] = chosen_folds(wanted, len(prepared.folds))
    given = {**request.part, **sections, **fields, "devices": request.devices}
    config = RunConfig(**given, budget=request.budget, overrides=request.overrides, versions=versions())
    if request.by_time:
        timings = measure(request.design or middle_network(config.space, fields["width"]), timed_recipe(config))
        config = rescheduled(config, request, prepared, timings)
    return _with_stride(config, prepared)


def timed_recipe(config: RunConfig) -> Recipe:
    """Return the recipe whose steps are timed."""
    return config.deployment.recipe if config.kind == "training" else config.coarse.recipe


def rescheduled(
    config: RunConfig, request: Request, prepared: Prepared, timings: Timings, stage: str = "coarse"
) -> RunConfig:
    """Return the configuration with the counts of ``stage`` and those after it that the rest of the budget pays."""
    recipes, work = _Recipes(request, prepared), count_work(config, prepared)
    values = scheduled(config, timings, work, recipes.of, prepared.left, stage, request.free, prepared.saved)
    return with_values(config, recipes.in_place(values))


def with_counts(config: RunConfig, request: Request, prepared: Prepared, counts: Mapping[str, Any]) -> RunConfig:
    """Return the configuration with counts that were derived before, but for what a user has set since."""
    recipes, names = _Recipes(request, prepared), list(COUNTS)
    if MIRROR in counts and request.free(LENGTH):
        names.append(MIRROR)
    return with_values(config, recipes.in_place({name: counts[name] for name in names if request.free(name)}))


def count_work(config: RunConfig, prepared: Prepared) -> Workload:
    """Count the work of a run: cases, windows, folds, devices, and what a patch shows."""
    folds, plan = chosen_folds(config.deployment.folds, len(prepared.folds)), prepared.plan
    every_case, rate = EVERY_CASE in folds, config.coarse.recipe.foreground_rate
    seen = mean(
        coverage(plan.patch_size, shape, box, rate) for shape, box in zip(prepared.shapes, prepared.boxes, strict=True)
    )
    return workload(
        plan,
        prepared.shapes,
        prepared.at_a_time or len(config.devices),
        len(folds) - every_case,
        every_case=every_case,
        training_cases=len(prepared.folds[-1].training),
        coverage=max(seen, 1e-3),
        validate_every=config.deployment.validate_every,
    )


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    packages = ("torch", "monai", "numpy", "scipy", "nibabel", "scikit-learn", "optuna", "lightning-fabric")
    ours = {"python": platform.python_version(), "c2fnas": __version__}
    return ours | {name: metadata.version(name) for name in packages}


class _Recipes:
    """The recipes of a request, of whatever length; in the run's own precision where it has one already."""

    def __init__(self, request: Request, prepared: Prepared) -> None:
        self._request, self._plan, self._cases = request, prepared.plan, len(prepared.folds[-1].training)
        self._parts = {stage: request.part[name]["recipe"] for name, stage in STAGES.items()}
        known, found = request.config, common_precision(request.devices)
        self._precision = {
            stage: getattr(known, name).recipe.precision if known else found for name, stage in STAGES.items()
        }

    def of(self, stage: PaperStage, iterations: int | None = None) -> Recipe:
        """The stage's recipe, of its own length or another one."""
        length = {} if iterations is None else {"iterations": iterations}
        return complete_recipe(self._parts[stage] | length, stage, self._plan, self._precision[stage], self._cases)

    def in_place(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The derived values, a length as the recipe of that length."""
        found: dict[str, Any] = {}
        for name, value in values.items():
            section = name.partition(".")[0]
            if name.endswith(".iterations"):
                found[f"{section}.recipe"] = self.of(STAGES[section], value)
            else:
                found[name] = value
        return found


def _with_stride(config: RunConfig, prepared: Prepared) -> RunConfig:
    """The configuration with the finest stride whose validation costs its share of a candidate's training."""
    share = config.coarse.validation_share
    if share is None or not config.searches or config.coarse.stride is not None:
        return config
    stride = affordable_stride(prepared.plan, prepared.shapes, config.coarse.recipe, share)
    return config if stride == prepared.plan.stride else with_values(config, {"coarse.stride": stride})
