"""A request for a run: budget, overrides and devices, against what the run has. Options left out stay as they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2fnas.data.folds import FoldChoice, chosen_folds
from c2fnas.data.plan import load_plan
from c2fnas.errors import UserError
from c2fnas.files import read_json, sha256, write_json
from c2fnas.networks.designs import Design
from c2fnas.planning.presets import (
    BUDGETS,
    DEFAULT_BUDGET,
    STAGES,
    PartialConfig,
    complete_recipe,
    draft,
    load_budget,
    requested,
    spelled,
)
from c2fnas.runs.config import CoarseLimits, RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.freeze import begun_stages, refuse_frozen
from c2fnas.runs.overrides import refuse_unknown, value_at, with_values
from c2fnas.runs.records.kept_folds import KeptFolds

COUNTS = (*(f"{name}.recipe.iterations" for name in STAGES), "coarse.evaluations", "fine.candidates", "fine.cases")
"""The fields that a time budget derives, each where neither the user nor the budget has set it."""

SEARCHED = ("coarse.evaluations", "fine.candidates")
"""The fields by which the search's stages are asked for."""

ON_GPU, ON_CPU, WIDER_ON_CPU = 1.0, 0.25, 0.5
"""Widths where none is given; the wider one where the time trains it well (docs/decisions/0179)."""

AMENDABLE = (*STAGES, "verdict")
"""Sections of a prepared run that may change without another preparation."""


@dataclass(frozen=True)
class Request:
    """A run as it shall be.

    Attributes:
        budget: its name or file.
        base: its part of a configuration.
        overrides: values given by the user, in this call and in earlier ones.
        part: the budget's part with the overrides in it.
        draft: the configuration as far as it is known without data.
        devices: of the run.
        design: the network that is trained where nothing is searched.
        config: the run's own configuration with what may still change in it; None where it has to be made.
        replan: true if values of the plan are asked for that the plan in the folder was not made with, or another time.
        folds: the division into folds; one that asks for nothing keeps the folds that are there.
    """

    budget: str
    base: PartialConfig
    overrides: dict[str, Any]
    part: PartialConfig
    draft: RunConfig
    devices: tuple[str, ...]
    design: Design | None
    config: RunConfig | None
    replan: bool
    folds: FoldChoice

    @property
    def division(self) -> FoldChoice:
        """The division into folds by all values that were given, in earlier calls too."""
        return FoldChoice(**self.draft.folds.model_dump())

    @property
    def width(self) -> float:
        """The width of every network of the run: the given network's, or by the first device where it is "auto"."""
        if self.design is not None:
            return self.design.width
        width = self.draft.width
        if width == "auto":
            return ON_CPU if self.leaves_width else ON_GPU
        return width

    @property
    def leaves_width(self) -> bool:
        """True if the width is left to the time of a CPU."""
        return self.design is None and self.draft.width == "auto" and not self.devices[0].startswith("cuda")

    @property
    def wider(self) -> float | None:
        """A width that is taken instead where the time trains it well; None where there is no choice by time.

        Where a search is asked for by its counts, its trainings come before a wider network; limits are meant for
        networks as they were.
        """
        draft = self.draft
        searched = any(value_at(draft, field) for field in SEARCHED if not self.free(field))
        by_time = draft.hours is not None and self.free("deployment.recipe.iterations")
        chosen = self.leaves_width and by_time and not searched and draft.coarse.limits == CoarseLimits()
        return WIDER_ON_CPU if chosen else None

    def free(self, field: str) -> bool:
        """Return true if a time budget derives the field. A budget's evaluations and candidates are the most it has."""
        part: Any = self.part
        if field in self.overrides:
            return False
        for name in field.split("."):
            part = (part or {}).get(name)
        return field in ("coarse.evaluations", "fine.candidates") or part is None

    @property
    def by_time(self) -> bool:
        """True if the budget is a time that has counts to derive."""
        draft = self.draft
        counts = COUNTS if draft.kind == "search" else ["deployment.recipe.iterations"]
        return draft.hours is not None and any(map(self.free, counts))


def request_for(
    folder: RunFolder,
    *,
    budget: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    devices: tuple[str, ...] | None = None,
    design: Design | None = None,
    amend: bool = False,
) -> Request:
    """Return the request for the run in ``folder``; None for a value means: as the run was started.

    Before a stage has begun, a changed run is configured again from the start; with ``amend`` the values of its stages
    change alone.

    Raises:
        UserError: no such budget or field, a value out of range, a stage of the run has begun with another one, or
            a search is asked for where a run only trains.
    """
    asked = dict(overrides or {})
    refuse_unknown(asked)
    known = RunConfig.load(folder.config) if folder.config.exists() else None
    before = read_json(folder.asked) if known is None and folder.asked.exists() else {}
    earlier = known.overrides if known else before.get("overrides", {})
    asked_budget = None if budget is None else spelled(budget)
    outdated = {*asked} | ({"hours"} if asked_budget else set())  # a time is a budget, too
    whole = {name: value for name, value in earlier.items() if name not in outdated} | asked  # the last word counts
    budget = asked_budget or (known.budget if known else before.get("budget", DEFAULT_BUDGET))
    devices = devices or (known.devices if known else ("cpu",))
    base = _base(folder, known, asked_budget, budget)
    part = requested(budget, whole, base)
    if design is not None and (known is None or known.kind == "training"):
        part |= {"kind": "training", "verdict": False}
    undivided = known is None and not (before and folder.folds.exists())  # else they may have been edited since
    divides = undivided or any(name.startswith("folds.") for name in asked)
    drafted = draft(part, budget)
    folds = FoldChoice(**drafted.folds.model_dump()) if divides else FoldChoice()
    if known is None:
        replan = _plan_is_outdated(folder, before, asked, drafted.hours)
        return Request(budget, base, whole, part, drafted, devices, design, None, replan, folds)
    changes = _changes(folder, known, drafted, asked, devices)
    if folder.budget.exists() and base != load_budget(str(folder.budget)):
        changes.setdefault("budget", (known.budget, budget))  # a file of the same name with other values
    if "kind" in changes:
        raise UserError(
            f"{folder.root}: this run only trains a network that it was given, by `c2fnas train`, which carries it on. "
            "For a search choose another run folder: `c2fnas run DATASET RUN`, or a stage at a time, "
            "`c2fnas prepare DATASET RUN` and `c2fnas search coarse RUN`."
        )
    refuse_frozen(changes, folder)
    config: RunConfig | None = known
    if changes:
        alone = amend and all(name.partition(".")[0] in AMENDABLE for name in changes)
        config = _amended(folder, known, changes, whole, part) if alone or begun_stages(folder) else None
    # Of another budget's plan an edited one keeps its edits; values that are asked for come before them.
    another = any(map(_plans, changes)) or drafted.hours != known.hours
    replan = another and (any(map(_plans, asked)) or "plan.yaml" not in changes)
    return Request(budget, base, whole, part, drafted, devices, design, config, replan, folds)


def keep_request(folder: RunFolder, request: Request) -> None:
    """Note, until a configuration says so, what a plan was made for: the next command may leave out what was asked."""
    if not folder.config.exists():
        what = {"budget": request.budget, "hours": request.draft.hours, "overrides": request.overrides}
        write_json(folder.asked, {**what, "plan_sha256": sha256(folder.plan)})


def _plan_is_outdated(
    folder: RunFolder, before: Mapping[str, Any], asked: Mapping[str, Any], hours: float | None
) -> bool:
    """True if the plan was made with other values, or for another time and not edited since."""
    known = before.get("overrides", {})
    if any(_plans(name) and (name not in known or known[name] != value) for name, value in asked.items()):
        return True
    edited = folder.plan.exists() and before.get("plan_sha256") != sha256(folder.plan)
    return bool(before) and before["hours"] != hours and not edited


def _base(folder: RunFolder, known: RunConfig | None, asked: str | None, budget: str) -> PartialConfig:
    """The budget's part; a run that stays as it was started has its own copy, and needs the user's file no more."""
    same = known is not None and known.budget == budget and folder.budget.exists()
    gone = budget not in BUDGETS and not Path(budget).is_file()
    return load_budget(str(folder.budget) if same and (asked is None or gone or begun_stages(folder)) else budget)


def _plans(field: str) -> bool:
    return field.startswith("plan.") and field != "plan.yaml"


def _changes(
    folder: RunFolder, known: RunConfig, wanted: RunConfig, asked: Mapping[str, Any], devices: tuple[str, ...]
) -> dict[str, tuple[Any, Any]]:
    """The fields in which the request differs from the run, with the run's value and the one asked for."""
    # Folds are compared, and refused, where they are kept: other words may give the same ones.
    named = [name for name in asked if not name.startswith("folds.")]
    fresh = [name for name in named if name not in known.overrides or known.overrides[name] != asked[name]]
    pairs = {name: (value_at(known, name), value_at(wanted, name)) for name in fresh}
    pairs |= {"budget": (known.budget, wanted.budget), "devices": (known.devices, devices)}
    pairs["plan.style"] = (known.plan.style, wanted.plan.style)
    pairs["plan.yaml"] = (known.plan_sha256, sha256(folder.plan) if folder.plan.exists() else "none")
    if known.folds_sha256:
        pairs["folds.json"] = (known.folds_sha256, sha256(folder.folds) if folder.folds.exists() else "none")
    if wanted.kind == "search":
        pairs["kind"] = (known.kind, "search")
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _amended(
    folder: RunFolder,
    known: RunConfig,
    changes: Mapping[str, tuple[Any, Any]],
    whole: dict[str, Any],
    part: PartialConfig,
) -> RunConfig:
    """The run's configuration with changes of what no stage has begun with; changed recipes are completed again."""
    changed = {".".join(name.split(".")[:2]) for name in changes}  # a part of a section that was left out comes whole
    wanted = draft(part, known.budget)
    values = {name: value_at(wanted, name) for name in changed if not name.endswith(".recipe")}
    recipes = changed - values.keys()
    if recipes or "deployment.folds" in values:
        folds = KeptFolds.load(folder.folds).splits
        if "deployment.folds" in values:
            values["deployment.folds"] = chosen_folds(values["deployment.folds"], len(folds))
        for name in recipes:
            section, recipe = name.partition(".")[0], value_at(known, name)
            own, plan = {"iterations": recipe.iterations, **part[section]["recipe"]}, load_plan(folder.plan)
            values[name] = complete_recipe(own, STAGES[section], plan, recipe.precision, len(folds[-1].training))
    return with_values(known, values | {"devices": changes.get("devices", [known.devices])[-1], "overrides": whole})
