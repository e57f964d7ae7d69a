"""Whether a patch fits: a guess where there is room to spare, a measured step where there isn't."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from c2fnas.execution import InlineExecutor
from c2fnas.networks import build_network
from c2fnas.networks.baselines import BASELINES, Baseline
from c2fnas.networks.count import count_saved_values
from c2fnas.networks.designs import Design
from c2fnas.planning import memory_fit as memory_module
from c2fnas.planning import probe
from c2fnas.planning.memory_fit import (
    MemoryFit,
    TrainingStep,
    available_memory,
    measure_step,
    predicted_memory,
    run_step,
)
from c2fnas.runs.reporter import Silent
from c2fnas.space.architecture import Architecture
from c2fnas.space.memory import saved_values, training_memory
from c2fnas.space.search_space import SearchSpace
from c2fnas.training.losses import DiceCrossEntropy

SPACE = SearchSpace(cells=4, downsamplings=1)
STEP = TrainingStep(in_channels=1, classes=3, patches=2, precision="fp32")
PATCH = (32, 32, 32)


class Listener(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def predicted(patch: tuple[int, int, int]) -> int:
    """Of the most demanding candidate, by brute force."""
    return max(
        training_memory(Architecture.uniform(t, width=0.25), in_channels=1, classes=3, input_size=patch).of(2)
        for t in SPACE.topologies()
    )


def fit(available: float, peak: float | None = None) -> tuple[MemoryFit, list[Any], Listener]:
    """A fit whose measurements give ``peak``, with what was measured and said."""
    measured: list[Any] = []
    listener = Listener()

    def measure(*facts: Any) -> int | None:
        measured.append(facts)
        return None if peak is None else int(peak)

    return MemoryFit(SPACE, 0.25, STEP, "cpu", int(available), listener, measure), measured, listener


def test_with_room_to_spare_nothing_is_measured() -> None:
    fits, measured, _ = fit(3.1 * predicted(PATCH))
    assert fits(PATCH)
    assert measured == []


def test_what_is_hopeless_is_not_tried() -> None:
    fits, measured, _ = fit(predicted(PATCH) / 1.6)
    assert not fits(PATCH)
    assert measured == []


@pytest.mark.parametrize(("peak", "expected"), [(0.5, True), (0.89, True), (0.95, False), (1.2, False), (None, False)])
def test_in_between_the_measurement_decides(peak: float | None, expected: bool) -> None:
    available = 1.5 * predicted(PATCH)
    fits, measured, listener = fit(available, None if peak is None else peak * available)
    assert fits(PATCH) is expected
    assert len(measured) == len(listener.said) == 1
    assert measured[0][1:] == (STEP, PATCH, "cpu")
    assert "2 patches of 32×32×32" in listener.said[0]
    assert ("does not fit" in listener.said[0]) is not expected


def test_a_measurement_corrects_the_guess() -> None:
    """Twice as much as predicted: sizes that are then hopeless aren't tried any more."""
    available = 1.1 * predicted(PATCH)
    fits, measured, _ = fit(available, 2 * predicted(PATCH))
    assert not fits(PATCH)
    assert not fits((32, 32, 40))
    assert len(measured) == 1


def test_the_network_measured_is_the_most_demanding_one() -> None:
    fits, measured, _ = fit(predicted(PATCH), predicted(PATCH))
    fits(PATCH)
    architecture = measured[0][0]
    assert training_memory(architecture, in_channels=1, classes=3, input_size=PATCH).of(2) == predicted(PATCH)


@pytest.mark.parametrize("design", [Architecture.from_text("0:3D 1:3D 0:3D @2"), Baseline("unet3d", 0.5)])
def test_where_a_network_is_given_it_is_the_one_that_is_measured(
    design: Design, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take many times as much as any candidate of a search, or as little as nothing."""
    measured: list[Any] = []
    room = predicted_memory(design, replace(STEP, patches=2), PATCH).of(2)
    monkeypatch.setattr(memory_module, "measure_step", lambda *facts: measured.append(facts) or room // 2)
    monkeypatch.setattr(memory_module, "available_memory", lambda devices: room)
    monkeypatch.setattr(memory_module, "common_precision", lambda devices: "fp32")
    plan = SimpleNamespace(batch_size=2)
    request = SimpleNamespace(
        draft=SimpleNamespace(space=SPACE, plan=plan), devices=("cpu",), width=design.width, design=design
    )
    scheme = SimpleNamespace(outputs=3)
    known = SimpleNamespace(channels=["t1"], scheme=scheme, regions_class_order=None)
    fits = memory_module.fit_for(SimpleNamespace(fingerprint=known, reporter=Listener()), request)
    assert fits(PATCH)
    assert measured == [(design, STEP, PATCH, "cpu")]


def test_networks_of_both_kinds_are_predicted_alike() -> None:
    """By what autograd keeps of one that is built: of an architecture its plain form, which keeps a little more."""
    architecture = Architecture.uniform(SPACE.topologies()[0], width=0.25)
    network = build_network(architecture, in_channels=1, classes=3)
    counted = count_saved_values(network, in_channels=1, input_size=PATCH)
    known = saved_values(architecture, in_channels=1, input_size=PATCH)
    assert known <= counted <= 1.3 * known


@pytest.mark.parametrize("name", BASELINES)
def test_every_compared_network_is_predicted(name: str) -> None:
    small, large = (predicted_memory(Baseline(name, 0.25), STEP, (side,) * 3).activations for side in (32, 64))
    assert large == pytest.approx(8 * small, rel=0.05)


def test_devices_on_the_cpu_share_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "free_memory", lambda: 12 << 30)
    assert available_memory(["cpu"]) == 12 << 30
    assert available_memory(["cpu:0", "cpu:1", "cpu:2"]) == 4 << 30


def test_of_several_gpus_the_least_room_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs go to any of them: a workstation may have a large card beside a small one."""
    asked = []

    def answer(name: str, target: str, payload: dict[str, Any], devices: list[str]) -> list[dict[str, int]]:
        asked.extend(devices)
        return [{"bytes": (50 << 30) // (1 + index)} for index in range(len(devices))]

    monkeypatch.setattr(memory_module, "run_on_each", answer)
    monkeypatch.setattr(memory_module, "free_memory", lambda: 12 << 30)
    assert available_memory(["cuda:0", "cuda:2"]) == 15 << 30
    assert asked == ["cuda:0", "cuda:2"]
    assert available_memory(["cuda:0", "cpu:0", "cpu:1"]) == 6 << 30


def test_every_device_is_asked() -> None:
    answers = probe.run_on_each("where", "executor_targets:describe", {}, ("cpu:0", "cpu:1"))
    assert {answer["folder"] for answer in answers} == {"0", "1"}


def test_gpus_leave_a_part_of_what_is_free_to_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two fifths of it."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10_000, 90_000))
    monkeypatch.setattr(probe, "LocalProcessExecutor", lambda devices, retries: InlineExecutor(devices[0]))
    assert available_memory(["cuda:1"]) == 6_000


def test_a_batch_that_did_not_fit_is_not_measured_in_halves(tmp_path: Path) -> None:
    assert run_step({"micro_batch_divisor": 2}, tmp_path, "cpu") == {"bytes": None}


@pytest.mark.long
def test_a_batch_that_goes_on_in_parts_did_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = DiceCrossEntropy.forward

    def roomy_for_one(self: DiceCrossEntropy, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        if len(logits) > 1:
            raise torch.AcceleratorError("CUDA error: out of memory")
        return loss(self, logits, label)

    payload = {
        "design": Architecture.from_text("0:3D 1:P3D 0:2D @0.0625").to_json(),
        "step": {"in_channels": 1, "classes": 2, "patches": 2, "precision": "fp32"},
        "patch": (8, 8, 8),
    }
    assert run_step(payload, tmp_path, "cpu")["bytes"] > 0
    monkeypatch.setattr(DiceCrossEntropy, "forward", roomy_for_one)
    assert run_step(payload, tmp_path, "cpu") == {"bytes": None}


def test_a_real_step_takes_about_what_is_predicted() -> None:
    """Beyond what an almost empty step takes: the framework itself."""
    architecture = Architecture.uniform(SPACE.topologies()[0], width=0.5)
    facts = {"in_channels": 1, "classes": 3}
    empty, full = (measure_step(architecture, STEP, patch, "cpu") for patch in ((16, 16, 16), (64, 64, 64)))
    assert empty is not None
    assert full is not None
    small, large = (
        training_memory(architecture, **facts, input_size=patch).of(2) for patch in ((16, 16, 16), (64, 64, 64))
    )
    assert 0.6 * (large - small) < full - empty < 1.5 * (large - small)
    assert full < psutil.virtual_memory().total


def inline(devices: list[str], retries: int) -> InlineExecutor:
    """The in-process twin of the executor that measures."""
    return InlineExecutor()


def test_a_step_beyond_the_memory_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of more bytes than any machine has."""
    monkeypatch.setattr(probe, "LocalProcessExecutor", inline)
    architecture = Architecture.uniform(SPACE.topologies()[0], width=0.5)
    assert measure_step(architecture, STEP, (20_000, 20_000, 20_000), "cpu") is None


def test_a_step_that_fails_for_another_reason_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LocalProcessExecutor", inline)
    architecture = Architecture.uniform(SPACE.topologies()[0], width=0.5)
    with pytest.raises(RuntimeError, match="failed"):
        measure_step(architecture, TrainingStep(-1, 3, 2, "fp32"), (16, 16, 16), "cpu")


@pytest.mark.parametrize("peak", [0.5, 0.95, None])
def test_a_patch_is_measured_once(peak: float | None) -> None:
    available = 1.5 * predicted(PATCH)
    fits, measured, listener = fit(available, None if peak is None else peak * available)
    assert fits(PATCH) == fits(PATCH) == fits(PATCH)
    assert len(measured) == len(listener.said) == 1
