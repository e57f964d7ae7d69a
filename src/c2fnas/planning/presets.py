"""Budgets as parts of a configuration: YAML files in ``c2fnas/presets``, or the user's own, with overrides in them.

What a part leaves open is filled in later; each recipe is completed from the one that it names.
"""

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from c2fnas.errors import UserError
from c2fnas.faults import Fault, faults, faults_in_a_line, shown
from c2fnas.runs.config import RunConfig
from c2fnas.runs.overrides import with_overrides
from c2fnas.text import some
from c2fnas.training.recipe import FLIPPING, RESULT_FREE, PaperStage, Recipe, modern_recipe, paper_recipe

if TYPE_CHECKING:
    from c2fnas.data.plan import Plan  # which imports torch, and a wrong --budget is to be refused at once

BUDGETS = ("demo", "hour", "day", "paper")
DEFAULT_BUDGET = "hour"
STAGES: dict[str, PaperStage] = {"coarse": "coarse", "fine": "supernet", "deployment": "deployment"}
"""The sections that have a recipe, and the paper's stage of each."""

TIME = re.compile(r"([-+]?\d+(?:\.\d+)?)\s*([smhd])", re.IGNORECASE)
"""A budget that is a time: a number, and seconds, minutes, hours or days."""
LIKE_TIME = re.compile(r"[-+]?\d[\w.,]*\s*[a-z]*", re.IGNORECASE)
"""A budget that was meant as one."""
FORMS = "A time is a number of minutes, hours or days, a minute at least, such as 30m, 1.5h, 3h or 2d"

FILLED_IN = ("budget", "overrides", "versions")
"""Fields that a run fills in itself, and no budget has."""

OPEN_LENGTH = 1000
"""Iterations of a modern recipe while its length is open."""

PartialConfig = dict[str, Any]
"""A nested part of a configuration."""


def load_budget(budget: str) -> PartialConfig:
    """Return the part of a configuration that a budget is: one of :data:`BUDGETS`, a time, or that of a YAML file.

    A time such as ``3h`` is the longest of the named ones that is no longer, in other hours.

    Raises:
        UserError: neither a budget nor a file, or a file with a fault.
    """
    if (hours := hours_of(budget)) is not None:
        name = "day" if hours >= 24 else "hour" if hours >= 1 else "demo"
        return {**load_budget(name), "hours": hours}
    known = budget in BUDGETS
    source = resources.files("c2fnas.presets").joinpath(f"{budget}.yaml") if known else Path(budget)
    if not source.is_file():
        raise UserError(
            f"--budget {budget}: no such budget. Choose {', '.join(BUDGETS)}, a time such as 30m, 3h or 2d, or give a "
            "YAML file like theirs."
        )
    try:
        part = yaml.safe_load(source.read_text(encoding="utf-8"))
        if not isinstance(part, dict):
            raise ValueError("it should be a dictionary of keys and values")
        if "repeats" in part:  # the repeat.json of a report, which holds the budget of its run
            part = part["repeats"]["base"]
        draft(part, budget)
        if filled := [name for name in FILLED_IN if name in part]:
            raise ValueError(f"{some(filled)}: filled in by the run itself; --like RUN begins a run like another")
        return part
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(
            f"{source}: not a budget ({faults_in_a_line(error, RunConfig)}). Compare it with c2fnas/presets/demo.yaml."
        ) from error


def hours_of(budget: str) -> float | None:
    """Return the hours of a time such as ``30m``, ``3h`` or ``2d``; None where ``budget`` is none.

    Raises:
        UserError: it is shorter than a minute, or is like a time but none.

    >>> hours_of("90m"), hours_of("3 H"), hours_of("1.5d"), hours_of("hour")
    (1.5, 3.0, 36.0, None)
    """
    found = TIME.fullmatch(budget.strip())
    if found is None:
        if LIKE_TIME.fullmatch(budget.strip()) and not Path(budget).is_file():
            raise UserError(f"--budget {budget}: no time that is understood. {FORMS}.")
        return None
    hours = float(found[1]) * {"s": 1 / 3600, "m": 1 / 60, "h": 1, "d": 24}[found[2].lower()]
    if hours < 1 / 60:
        raise UserError(f"--budget {budget}: too short. {FORMS}.")
    return hours


def spelled(budget: str) -> str:
    """Return a budget in one spelling, so that a run that carries on knows its own.

    >>> spelled("3 H"), spelled("Plans/MINE.yaml")
    ('3h', 'Plans/MINE.yaml')
    """
    return "".join(budget.split()).lower() if hours_of(budget) is not None else budget


def requested(budget: str, overrides: Mapping[str, Any], base: PartialConfig | None = None) -> PartialConfig:
    """Return the budget's part with the user's overrides in it, checked as far as that is possible without data.

    ``base`` is the budget's part where it is known.

    Raises:
        UserError: no such budget, or a value out of range.
    """
    own = load_budget(budget) if base is None else base
    part = with_overrides(own, overrides)
    try:
        draft(part, budget)
    except ValidationError as error:
        known = draft(own, budget).model_dump(mode="json")
        raise UserError(_told(faults(error, RunConfig, known), overrides)) from error
    return part


def _told(found: Sequence[Fault], overrides: Mapping[str, Any]) -> str:
    """Say which of the user's values are at fault and what their fields take."""
    told = [
        f"--set {name}={shown(value)}: {each.problem if name == each.field else each.text}."
        for name, value in overrides.items()
        for each in found
        if each.field == name or each.field.startswith(f"{name}.")
    ]
    names = [name for name in overrides if name.endswith("recipe.name")]
    if not told and names:
        return " ".join(
            f"--set {name}={overrides[name]}: expected paper or modern, such as {name}=modern." for name in names
        )
    if not told:  # of a combination of values
        given = ", ".join(f"{name}={shown(value)}" for name, value in overrides.items())
        told = [f"--set {given}: {'; '.join(each.text for each in found)}."]
    return " ".join(told)


def draft(part: Mapping[str, Any], budget: str) -> RunConfig:
    """Return the configuration of a part as far as it is known without data; open lengths are the recipes' own.

    Raises:
        ValidationError: a key is missing, unknown or out of range.
    """
    whole = {"budget": budget, **part}
    for name, stage in STAGES.items():
        recipe = (whole.get(name) or {}).get("recipe") if isinstance(whole.get(name), Mapping) else None
        if isinstance(recipe, Mapping) and recipe.get("name") in ("paper", "modern"):
            whole[name] = {**whole[name], "recipe": _with_own(_base(recipe, stage), recipe)}
    return RunConfig.model_validate(whole)


def complete_recipe(
    part: Mapping[str, Any], stage: PaperStage, plan: "Plan", precision: str, training_cases: int | None = None
) -> Recipe:
    """Return the recipe that ``part`` names: the paper's to the letter, or the modern one with the plan's batch.

    ``precision`` and what the plan says of the batch give way to values in ``part``, and to the paper's recipe.
    ``training_cases`` are those of a fold, where they are known.
    """
    planned: dict[str, Any] = {
        "volumes": plan.batch_size,
        "patches_per_volume": 1,
        "foreground_rate": plan.foreground_rate,
        "precision": precision,
    }
    own = ({} if part["name"] == "paper" else planned) | dict(part)
    patches = own.get("volumes", 0) * own.get("patches_per_volume", 0)
    return Recipe.model_validate(_with_own(_base(part, stage, patches, training_cases or inf), own))


def departures(config: RunConfig) -> list[str]:
    """List, in words, what the recipes of ``config`` have otherwise than the paper's, as the user has asked for it.

    >>> departures(draft(requested("paper", {"fine.recipe.precision": "bf16"}), "paper"))
    ['fine.recipe.precision is bf16, not fp32']
    """
    by = config.folds.by
    found = [] if by in (None, "sequential") else [f"folds.by is {by}, not sequential"]
    for section, stage in STAGES.items():
        own, paper = (each.model_dump() for each in (getattr(config, section).recipe, paper_recipe(stage)))
        changed = [name for name in paper if name not in RESULT_FREE and own[name] != paper[name]]
        found += [f"{section}.recipe.{name} is {own[name]}, not {paper[name]}" for name in changed]
    return found


def _with_own(base: Recipe, own: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a named recipe with others in their place; no mirrored views of what will have seen no flips."""
    found = base.model_dump() | dict(own)
    return found if "mirror" in own else found | {"mirror": base.mirror and found["augmentation"] in FLIPPING}


def _base(part: Mapping[str, Any], stage: PaperStage, patches: int = 0, cases: float = inf) -> Recipe:
    """The named recipe in the part's length; an iteration takes so many ``patches`` of the training ``cases``."""
    iterations = part.get("iterations")
    length = iterations if isinstance(iterations, int) and iterations > 0 else None
    if part["name"] == "modern":
        return modern_recipe(length or OPEN_LENGTH, patches, cases if length else inf)
    return paper_recipe(stage) if length is None else paper_recipe(stage).with_iterations(length)
