"""What a forecast rests on: steps and windows timed as they will be computed."""

import pytest
import torch
from small_cases import plan_of
from stand_in import Accelerator
from torch.nn.modules.module import register_module_forward_hook

from c2fnas.data.plan import ClassPlan
from c2fnas.planning.timings import time_network
from c2fnas.space.architecture import Architecture
from c2fnas.training.recipe import modern_recipe

PLAN = plan_of(patch_size=(16, 16, 16))


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_a_window_is_timed_in_the_recipe_s_precision(precision: str, dtype: torch.dtype) -> None:
    recipe = modern_recipe(20).model_copy(update={"precision": precision})
    seen = set()
    watch = register_module_forward_hook(
        lambda module, _, output: (
            seen.add(output.dtype) if isinstance(module, torch.nn.Conv3d) and not module.training else None
        )
    )
    with watch:
        timings = time_network(PLAN, Architecture.from_text("0:3D 1:P3D 0:2D @0.0625"), recipe, "cpu")
    assert seen == {dtype}
    assert timings.patch > 0
    assert timings.window > 0
    assert timings.augmentation > 0


def test_an_accelerator_is_timed(accelerator: Accelerator) -> None:
    """Steps, windows and augmentation all run on it; the host waits for the windows' results alone."""
    recipe = modern_recipe(20).model_copy(update={"precision": "fp32"})
    timings = time_network(PLAN, Architecture.from_text("0:3D 1:P3D 0:2D @0.0625"), recipe, "cuda:0")
    assert min(timings.patch, timings.window, timings.augmentation) > 0
    assert set(accelerator.reads) == {"planning/timings.py"}


def test_regions_are_timed_as_they_train() -> None:
    """One region has a single output, of which a softmax would know nothing."""
    classes = (ClassPlan(name="background", values=(0,)), ClassPlan(name="organ", values=(1, 2)))
    plan = plan_of(patch_size=(16, 16, 16), classes=classes, regions_class_order=(1,), ignore=3)
    assert time_network(plan, Architecture.from_text("0:3D @0.0625"), modern_recipe(20), "cpu").patch > 0
