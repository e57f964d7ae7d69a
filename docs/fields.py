"""A table of the fields of a run's configuration: what each takes, its default, its unit and its meaning.

Types and defaults are those of :mod:`c2fnas.runs.config`. Meanings stand here; a test compares the names.
"""

import json
from collections.abc import Iterator
from typing import Any

from c2fnas.errors import UserError
from c2fnas.faults import _alternatives, _either
from c2fnas.runs.config import RunConfig
from c2fnas.runs.overrides import fields, refuse_unknown

RECIPE = "STAGE.recipe"
STAGES = ("coarse", "fine", "deployment")
TAKES = {"coarse.early_stopping": "true or false", "recipe.name": "paper or modern"}
"""Values that the type of a field does not tell."""
AXES = "along the plan's axes"

MEANINGS = {
    "seed": ("", "Seed of everything random."),
    "width": (
        "",
        "Factor of the paper's filter counts, of all networks of the run. `auto`: 1 on a GPU; on a CPU 0.25, or 0.5 "
        "where the time trains it well and neither counts nor limits are given.",
    ),
    "cells": ("cells", "Cells of a network."),
    "downsamplings": ("levels", "Down-samplings among the cells; as many up-samplings follow."),
    "operations": ("", "Operations that a cell may have."),
    "hours": ("hours", "The time of a budget; null: no limit, and no count is derived from it."),
    "shares.coarse": ("share", "Of what is left of the time: the coarse stage's."),
    "shares.supernet": ("share", "The super-network's."),
    "shares.ranking": ("share", "The ranking's."),
    "shares.deployment": ("share", "The final networks', with their references."),
    "stated_spacing": (
        "mm",
        "The true spacing, where the headers have lost it, along the images' own axes (`--spacing`).",
    ),
    "plan.style": ("", "`paper`: 1 mm and 96×96×96 voxels; `planned`: fitted to the data, the machine and the time."),
    "plan.spacing": ("mm", f"Spacing that volumes are resampled to, {AXES}."),
    "plan.resize": ("voxels", f"Instead of a spacing: the size of every volume, {AXES}."),
    "plan.patch_size": ("voxels", f"The piece of a volume that a network sees at a time, {AXES}."),
    "plan.stride": ("voxels", f"Step between windows in validation and prediction, {AXES}."),
    "plan.ranking_stride": ("voxels", f"The same while candidates are ranked, {AXES}."),
    "plan.batch_size": ("patches", "Patches in a training iteration."),
    "plan.foreground_rate": ("share", "Patches that are centred on a foreground voxel."),
    "plan.crop_nonzero": ("", "Crop each case to the box of its voxels that are not zero."),
    "folds.by": (
        "",
        "`sequential`, `random`, `column`, or the path of a splits_final.json (`--folds`, of training `--divide`).",
    ),
    "folds.count": ("folds", "Sequential or random folds; null: five (`--fold-count`)."),
    "folds.group_by": ("", "Expression that finds a case's group in its name (`--group-by`)."),
    "coarse.clusters": ("clusters", "Clusters of topologies that Algorithm 1 draws from."),
    "coarse.per_cluster": ("topologies", "Topologies of each cluster that are trained first."),
    "coarse.evaluations": ("trainings", "Trainings of the stage. 0: no topology is searched."),
    "coarse.random_share": ("share", "Trainings for which Algorithm 1 takes a random cluster instead of the best one."),
    "coarse.sampler": ("", "The searcher that proposes topologies (`--sampler`)."),
    "coarse.limits.parameters": ("parameters", "The most that a candidate may have (`--max-parameters`)."),
    "coarse.limits.macs": ("multiply-accumulates", "The most that one patch may take (`--max-macs`)."),
    "coarse.limits.memory": ("bytes", "The most that a training may take, as predicted (`--max-memory`)."),
    "coarse.early_stopping": ("", "Stop candidates that are behind at a rung; `true` takes the two defaults below."),
    "coarse.early_stopping.shares": ("share", "Rungs, as shares of a candidate's iterations."),
    "coarse.early_stopping.factor": ("", "One candidate in so many goes on."),
    "coarse.validation_share": (
        "share",
        "The most of a training's cost that its validation may take, which decides the stride.",
    ),
    "coarse.stride": ("voxels", f"Step between windows in validation, {AXES}; null: by the share above."),
    "coarse.finalists": (
        "candidates",
        "Candidates that are scored again at the plan's stride, where theirs was coarser.",
    ),
    "coarse.choice": (
        "",
        "`observed`: the best score; `posterior`: the highest expected one, the cheapest within the margin.",
    ),
    "coarse.settling": ("share", "Trainings by which a choice by the posterior is settled, with other seeds."),
    "coarse.pilot": ("trainings", "Trainings after which a choice by the posterior may end the stage early."),
    "coarse.table_prior": ("", "Begin with what the shipped tables say that were made on other data."),
    "fine.candidates": ("candidates", "Choices of operations that are ranked. 0: operations are not searched."),
    "fine.cases": ("cases", "Validation cases that candidates are ranked on; null: all."),
    "fine.sampling": ("", "Paths that train: `uniform`, or `strict`: every operation once in three iterations."),
    "fine.choose": ("", "Candidates: `random`, or by `evolution` (NSGA-II)."),
    "fine.rungs": ("steps", "Steps of successive halving over cases; 1 ranks all on all cases."),
    "fine.audit": (
        "candidates",
        "Random candidates that are scored on all cases, to tell how far the first rungs can be trusted.",
    ),
    "fine.choice": ("", "As `coarse.choice`, among the ranked operations."),
    "deployment.folds": ("", "Folds that final networks are trained on: numbers, `last`, `all`, `every-case`."),
    "deployment.start": ("", "Checksum of the model that every fold begins with; set by `c2fnas train --from`."),
    "deployment.extended": ("", "True once `c2fnas train --extend` has made the training longer; set by it."),
    "deployment.validate_every": ("iterations", "Validate on whole volumes so often, for a curve; null: never."),
    "deployment.keep_largest": (
        "",
        "Let cross-validation of three folds or more decide where prediction keeps the largest component alone.",
    ),
    "verdict": ("", "Train references too, to judge the search by."),
    "references": ("networks", "Networks that a verdict compares with, the most telling first."),
    "margin": ("Dice", "A difference in Dice that does not matter."),
    "recipe.name": ("", "`paper` or `modern`, which gives the defaults of the fields below."),
    "recipe.iterations": ("iterations", "Length of a training; in a time budget as many as the time pays for."),
    "recipe.volumes": ("volumes", "Volumes in an iteration."),
    "recipe.patches_per_volume": ("patches", "Patches from each."),
    "recipe.micro_batch": ("patches", "Patches that pass the network at a time; null: all, or what memory holds."),
    "recipe.learning_rate": ("", "Learning rate after the warm-up."),
    "recipe.warmup_from": ("", "Learning rate at the first iteration."),
    "recipe.warmup_iterations": ("iterations", "Length of the linear warm-up."),
    "recipe.schedule": ("", "`multistep` or `polynomial` decay of the learning rate."),
    "recipe.milestones": ("iterations", "Of `multistep`: where the learning rate is multiplied by `gamma`."),
    "recipe.gamma": ("", "Factor at a milestone."),
    "recipe.power": ("", "Exponent of the `polynomial` decay."),
    "recipe.optimiser": ("", "`sgd` or `adamw`."),
    "recipe.momentum": ("", "Momentum of SGD, or AdamW's average of gradients."),
    "recipe.nesterov": ("", "Nesterov's momentum, of SGD alone."),
    "recipe.weight_decay": ("", "Weight decay: added to SGD's gradients, taken off AdamW's weights."),
    "recipe.gradient_clip": ("", "The largest norm of the gradients; null: any."),
    "recipe.precision": ("", "Precision of the training and of its validation."),
    "recipe.dice_smoothing": ("", "Added to numerator and denominator of the Dice loss."),
    "recipe.augmentation": ("", "`paper` (flips and turns), `modern` (nnU-Net's), `strong`, `unmirrored`, or `none`."),
    "recipe.foreground_rate": ("share", "Patches that are centred on a foreground voxel."),
    "recipe.mirror": ("", "Average predictions over mirrored views; the training must have seen flips."),
}
"""Unit and meaning of each field, a recipe's once for its three stages."""


def settable() -> Iterator[str]:
    """Yield the fields that ``--set`` takes, without the sections that have fields of their own."""
    names = [name for name, _ in fields(RunConfig)]
    for name in names:
        section = any(each.startswith(f"{name}.") for each in names) and name != "coarse.early_stopping"
        if not section and _is_taken(name):
            yield name


def described() -> Iterator[tuple[str, str]]:
    """Yield the settable fields with their names in the table; the recipes' of three stages share one."""
    for name in settable():
        stage, part, rest = name.partition(".recipe.")
        if not part:
            yield name, name
        elif stage == STAGES[0]:
            yield name, f"recipe.{rest}"


def table() -> str:
    """Return the table in Markdown."""
    rows = sorted(described(), key=lambda pair: pair[1].startswith("recipe."))
    lines = [_row(name, shown) for name, shown in rows]
    return "\n".join(["| field | takes | default | unit | meaning |", "|---|---|---|---|---|", *lines])


def _is_taken(name: str) -> bool:
    try:
        refuse_unknown({name: None})
    except UserError:
        return False
    return True


def _row(name: str, shown: str) -> str:
    schema = RunConfig.model_json_schema()
    node: Any = schema
    for part in name.split("."):
        options = [_resolved(each, schema) for each in node.get("anyOf", [node])]
        node = next(each for each in options if "properties" in each)["properties"][part]
    takes = TAKES.get(shown) or _either(_alternatives(node, schema))
    default = f"`{json.dumps(node['default'])}`" if "default" in node else "the budget's"
    default = "by its name" if shown.startswith("recipe.") and shown != "recipe.name" else default
    unit, meaning = MEANINGS[shown]
    field = shown.replace("recipe.", f"{RECIPE}.") if shown.startswith("recipe.") else shown
    return "| " + " | ".join([f"`{field}`", takes.replace("|", r"\|"), default, unit, meaning]) + " |"


def _resolved(node: Any, schema: Any) -> Any:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node
