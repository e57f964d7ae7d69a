"""From a request, the data's plan and the machine at hand to a run's configuration: the room is passed once."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from c2fnas import __version__
from c2fnas.data.folds import EVERY_CASE, Split, chosen_folds
from c2fnas.data.plan import Plan
from c2fnas.networks.designs import Design
from c2fnas.planning.budget import Workload, scheduled, workload
from c2fnas.planning.presets import STAGES, complete_recipe
from c2fnas.planning.request import Request
from c2fnas.planning.timings import Timings, middle_network
from c2fnas.planning.validation_stride import affordable_stride
from c2fnas.runs.config import RunConfig
from c2fnas.runs.overrides import with_values
from c2fnas.shapes import Size
from c2fnas.training.precision import resolve_precision
from c2fnas.training.recipe import PaperStage, Recipe

Measure = Callable[[Design, Recipe], Timings]


@dataclass(frozen=True)
class Preparation:
    """The parts of a preparation that planning needs.

    Attributes:
        plan: of the data set.
        folds: in order.
        shapes: prepared sizes of the search's validation cases, in voxels.
    """

    plan: Plan
    folds: tuple[Split, ...]
    shapes: tuple[Size, ...]


def configure(request: Request, fields: Mapping[str, Any], prepared: Preparation, measure: Measure) -> RunConfig:
    """Return the configuration of a run: width, recipes, iterations of a time budget, stride of coarse validations.

    Args:
        request: the budget with the user's overrides.
        fields: those that only preparation knows: names, paths and checksums.
        prepared: plan, folds and sizes of cases.
        measure: times a network on the first device; asked where the budget is a time.
    """
    recipes = _Recipes(request, prepared)
    sections = {name: {**request.part[name], "recipe": recipes.of(stage)} for name, stage in STAGES.items()}
    wanted = sections["deployment"].get("folds", "last")
    sections["deployment"]["folds"] = chosen_folds(wanted, len(prepared.folds))
    given = {**request.part, **sections, **fields, "width": request.width, "devices": request.devices}
    config = RunConfig(**given, budget=request.budget, overrides=request.overrides, versions=versions())
    if config.hours is not None and recipes.open_fields:
        design = request.design or middle_network(config.space, request.width)
        timed = config.deployment.recipe if config.kind == "training" else config.coarse.recipe
        values = scheduled(config, measure(design, timed), count_work(config, prepared), recipes.of)
        config = with_values(config, recipes.in_place(values))
    return _with_stride(config, prepared)


def count_work(config: RunConfig, prepared: Preparation) -> Workload:
    """Count the work of a run: validation cases, windows, folds, devices."""
    folds = chosen_folds(config.deployment.folds, len(prepared.folds))
    every_case = EVERY_CASE in folds
    return workload(prepared.plan, prepared.shapes, len(config.devices), len(folds) - every_case, every_case)


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    packages = ("torch", "monai", "numpy", "scipy", "nibabel", "scikit-learn", "optuna", "lightning-fabric")
    ours = {"python": platform.python_version(), "c2fnas": __version__}
    return ours | {name: metadata.version(name) for name in packages}


class _Recipes:
    """The recipes of a request, of whatever length."""

    def __init__(self, request: Request, prepared: Preparation) -> None:
        self._parts = {stage: request.part[name]["recipe"] for name, stage in STAGES.items()}
        self._plan, self._precision = prepared.plan, resolve_precision("auto", request.devices[0])
        lengths = {f"{name}.recipe.iterations" for name, stage in STAGES.items() if not self._length(stage)}
        cases = set() if request.part["fine"].get("cases") else {"fine.cases"}
        references = set() if "references" in request.part else {"references"}
        self.open_fields = lengths | (cases | references if lengths else set())
        if request.part.get("kind") == "training":
            self.open_fields &= {"deployment.recipe.iterations"}

    def of(self, stage: PaperStage, iterations: int | None = None) -> Recipe:
        """The stage's recipe, of its own length or another one."""
        length = {} if iterations is None else {"iterations": iterations}
        return complete_recipe(self._parts[stage] | length, stage, self._plan, self._precision)

    def in_place(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Derived values of the fields that were open; a length becomes the recipe of that length."""
        found: dict[str, Any] = {}
        for name in self.open_fields & values.keys():
            section = name.partition(".")[0]
            if name.endswith(".iterations"):
                found[f"{section}.recipe"] = self.of(STAGES[section], values[name])
            else:
                found[name] = values[name]
        return found

    def _length(self, stage: PaperStage) -> int | None:
        return self._parts[stage].get("iterations")


def _with_stride(config: RunConfig, prepared: Preparation) -> RunConfig:
    """The configuration with the finest stride whose validation costs its share of a candidate's training."""
    share = config.coarse.validation_share
    if share is None or config.kind == "training" or config.coarse.stride is not None:
        return config
    stride = affordable_stride(prepared.plan, prepared.shapes, config.coarse.recipe, share)
    return config if stride == prepared.plan.stride else with_values(config, {"coarse.stride": stride})
