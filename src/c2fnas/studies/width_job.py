"""What runs on a device in the third stage: one width, and where it is asked for one patch, trained and scored."""

from dataclasses import replace
from pathlib import Path

from c2fnas.runs.run import Setting
from c2fnas.space.architecture import Architecture
from c2fnas.stages.jobs import Json, evaluate_on, fitted, new_network, setting_of, train_on
from c2fnas.training.checkpoint import forget_checkpoints

STEP = 8  # voxels; sides of a scaled patch are multiples of it


def train_scaled(payload: Json, folder: Path, device: str) -> Json:
    """Train an architecture as the final network would be, on the split of the search, and score it (paper 5.3)."""
    setting = with_patch(setting_of(payload, folder), payload["patch_factor"])
    network = new_network(setting, Architecture.from_json(payload["architecture"]))
    recipe = fitted(setting.config.deployment.recipe, payload)
    train_on(setting, network, setting.search_split.training, recipe, folder, device)
    evaluation = evaluate_on(setting, network, setting.search_split.validation, folder, device)
    forget_checkpoints(folder)
    return {"dice": evaluation.mean, "per_class": evaluation.per_class}


def with_patch(setting: Setting, factor: float) -> Setting:
    """The setting with a patch of ``factor`` times the plan's sides, and a stride in proportion; 1 changes nothing."""
    if factor == 1:
        return setting
    plan = setting.plan
    patch = tuple(max(STEP, round(side * factor / STEP) * STEP) for side in plan.patch_size)
    sides = {"patch_size": patch} | {
        name: tuple(min(side, max(1, round(step * factor))) for side, step in zip(patch, strides, strict=True))
        for name, strides in (("stride", plan.stride), ("ranking_stride", plan.ranking_stride))
    }
    return replace(setting, plan=plan.model_copy(update=sides))
