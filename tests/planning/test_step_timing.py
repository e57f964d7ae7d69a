"""What a forecast rests on: steps and windows timed as they will be computed."""

import pytest
import torch
from small_cases import plan_of
from stand_in import Accelerator
from torch.nn.modules.module import register_module_forward_hook

from c2fnas.data.plan import ClassPlan
from c2fnas.planning import step_timing
from c2fnas.planning.step_timing import time_network
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
        found = time_network(PLAN, Architecture.from_text("0:3D 1:P3D 0:2D @0.0625"), recipe, "cpu")
    assert seen == {dtype}
    assert found.patch > 0
    assert found.window > 0
    assert found.augmentation > 0


def test_an_accelerator_is_timed(accelerator: Accelerator) -> None:
    """Steps, windows and augmentation all run on it; the host waits for the windows' results alone."""
    recipe = modern_recipe(20).model_copy(update={"precision": "fp32"})
    found = time_network(PLAN, Architecture.from_text("0:3D 1:P3D 0:2D @0.0625"), recipe, "cuda:0")
    assert min(found.patch, found.window, found.augmentation) > 0
    assert set(accelerator.reads) == {"planning/step_timing.py"}


def test_regions_are_timed_as_they_train() -> None:
    """One region has a single output, of which a softmax would know nothing."""
    classes = (ClassPlan(name="background", values=(0,)), ClassPlan(name="organ", values=(1, 2)))
    plan = plan_of(patch_size=(16, 16, 16), classes=classes, regions_class_order=(1,), ignore=3)
    assert time_network(plan, Architecture.from_text("0:3D @0.0625"), modern_recipe(20), "cpu").patch > 0


@pytest.mark.parametrize("number", [1, 3])
def test_windows_are_timed_as_many_at_a_time_as_they_are_computed(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, seconds = list[int](), iter(range(100))
    monkeypatch.setattr(step_timing, "windows_at_a_time", lambda work, window: number)
    monkeypatch.setattr(step_timing.time, "perf_counter", lambda: next(seconds))
    network = torch.nn.Conv3d(1, 2, 3)
    network.register_forward_hook(lambda _, inputs, output: sizes.append(len(inputs[0])))
    found = step_timing._time_window(network, PLAN, modern_recipe(20), torch.device("cpu"))  # type: ignore[arg-type]
    assert sizes == [number, number]  # the first is not counted
    assert found == 1 / number
