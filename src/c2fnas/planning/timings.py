"""A few training steps and windows, timed on the machine at hand by a worker: the driver touches no accelerator."""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from c2fnas.cores import usable_threads
from c2fnas.data.augment import WIDE, modern_augmentation
from c2fnas.data.plan import Plan
from c2fnas.execution import Job, LocalProcessExecutor, Outcome
from c2fnas.execution.environment import is_cuda
from c2fnas.inference.forward import computing
from c2fnas.inference.windows import windows_at_a_time
from c2fnas.networks.designs import Design, build_design, design_from_json
from c2fnas.runs.timing.allowance import slowdown
from c2fnas.shapes import Size
from c2fnas.space.architecture import Architecture
from c2fnas.space.search_space import SearchSpace
from c2fnas.training.loop import time_iterations
from c2fnas.training.recipe import Recipe

TIMED_ITERATIONS, TIMED_AUGMENTATIONS = 3, 12


@dataclass(frozen=True)
class Timings:
    """Seconds on one device of the machine at hand.

    Attributes:
        patch: forward and backward of one patch through a network in the middle of the space.
        window: forward of one window.
        augmentation: of one patch, where a recipe warps patches; on a CPU it takes its time from the training.
        alone: the seconds of a job that has all the cores, in parts of those of one of several devices that share them.
    """

    patch: float
    window: float
    augmentation: float = 0.0
    alone: float = 1.0

    def augmenting(self, recipe: Recipe) -> float:
        """Return the seconds by which the recipe's augmentation makes a patch longer."""
        return self.augmentation if recipe.warped else 0.0

    def times(self, factor: float) -> "Timings":
        """Return the same for ``factor`` times as much work, or as slow a machine."""
        return Timings(factor * self.patch, factor * self.window, factor * self.augmentation, self.alone)

    def beside(self, jobs: int, devices: int) -> "Timings":
        """Return the same for one of so many jobs of a stage: of fewer jobs than devices, each has more cores."""
        return self.times(slowdown(self.alone, jobs, devices))


def middle_network(space: SearchSpace, width: float) -> Architecture:
    """Return the network that stands for a space: the middle one of its topologies, 3D in every cell."""
    topologies = space.topologies()
    return Architecture.uniform(topologies[len(topologies) // 2], width=width)


def measure(plan: Plan, design: Design, recipe: Recipe, devices: tuple[str, ...]) -> Timings:
    """Time a few training steps and windows of ``design`` on the first of ``devices``, in a process of its own.

    Where several devices are shares of one processor, the process gets its share of the cores, and then all of them.

    Raises:
        RuntimeError: the steps failed.
    """
    payload = {
        "plan": plan.model_dump(mode="json"),
        "design": design.to_json(),
        "recipe": recipe.model_dump(mode="json"),
        "threads": usable_threads() if len(devices) > 1 and not is_cuda(devices[0]) else None,
    }
    return Timings(**run_once("timing", "c2fnas.planning.timings:time_on_device", payload, devices))


def run_once(name: str, target: str, payload: dict[str, Any], devices: Sequence[str]) -> dict[str, Any]:
    """Return the value of a job that a worker does on the first of ``devices``.

    Raises:
        MemoryError: the device has not enough memory.
        RuntimeError: the job failed.
    """
    return _values(name, target, payload, devices, 1)[0]


def run_on_each(name: str, target: str, payload: dict[str, Any], devices: Sequence[str]) -> list[dict[str, Any]]:
    """Return the values, in any order, of a job that a worker on each of ``devices`` does, at the same time.

    Raises:
        MemoryError: a device has not enough memory.
        RuntimeError: the job failed on one of them.
    """
    return _values(name, target, payload, devices, len(devices))


def _values(
    name: str, target: str, payload: dict[str, Any], devices: Sequence[str], count: int
) -> list[dict[str, Any]]:
    """The values of a job that is done so many times, no more than there are devices."""
    with tempfile.TemporaryDirectory() as folder, LocalProcessExecutor(devices, retries=0) as executor:
        for index in range(count):
            executor.submit(Job(name, target, payload, Path(folder, str(index))))
        return [_value(name, executor.wait()) for _ in range(count)]


def _value(name: str, outcome: Outcome | None) -> dict[str, Any]:
    assert outcome is not None
    if outcome.kind in ("out_of_memory", "killed"):
        raise MemoryError(f"{name}: {outcome.failure}")
    if outcome.value is None:
        raise RuntimeError(f"{name} failed: {outcome.failure}")
    return outcome.value


def time_on_device(payload: dict[str, Any], folder: Path, device: str) -> dict[str, Any]:
    """Time steps and windows; the job of :func:`measure`."""
    plan, recipe = Plan.model_validate(payload["plan"]), Recipe.model_validate(payload["recipe"])
    design = design_from_json(payload["design"])
    timings, own, threads = time_network(plan, design, recipe, device), usable_threads(), payload["threads"]
    if threads is None or threads <= own:
        return asdict(timings)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    alone = _time_step(plan, _network(plan, design), recipe, device) / timings.patch
    return asdict(replace(timings, alone=min(1.0, max(own / threads, alone))))


def time_network(plan: Plan, design: Design, recipe: Recipe, device: str) -> Timings:
    """Time a few training steps and windows of ``design`` on ``device``, in this process."""
    network = _network(plan, design)
    patch = _time_step(plan, network, recipe, device)
    window = _time_window(network.to(device).eval(), plan, recipe, torch.device(device))
    return Timings(patch=patch, window=window, augmentation=_time_augmentation(plan, device))


def _network(plan: Plan, design: Design) -> torch.nn.Module:
    return build_design(design, in_channels=len(plan.channels), classes=plan.outputs)


def _time_step(plan: Plan, network: torch.nn.Module, recipe: Recipe, device: str) -> float:
    """Seconds of a training step for one patch."""
    patches = min(2, recipe.batch_size)
    timed = recipe.model_copy(update={"volumes": patches, "patches_per_volume": 1, "micro_batch": None})
    batch = noise(patches, len(plan.channels), len(plan.scheme.parts), plan.patch_size)
    seconds = time_iterations(
        network, lambda a, b: repeat(batch, b - a), timed, TIMED_ITERATIONS, device=device, scheme=plan.scheme
    )
    return seconds / patches


def noise(patches: int, channels: int, classes: int, patch: Size) -> SimpleNamespace:
    """Return a batch of random patches with labels."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(patches, channels, *patch, generator=generator)
    label = torch.randint(classes, (patches, *patch), dtype=torch.uint8, generator=generator)
    return SimpleNamespace(image=image, label=label)


def _time_window(network: torch.nn.Module, plan: Plan, recipe: Recipe, device: torch.device) -> float:
    """Seconds of a window in the recipe's precision, among as many as are computed at a time, after a warm-up."""

    def seconds(image: torch.Tensor) -> float:
        start = time.perf_counter()
        with computing(device, recipe.precision):
            network(image).sum().item()
        return time.perf_counter() - start

    image = torch.randn(1, len(plan.channels), *plan.patch_size, device=device)
    at_a_time = windows_at_a_time(seconds, image)
    image = image.expand(at_a_time, -1, -1, -1, -1).contiguous()
    seconds(image)
    return seconds(image) / at_a_time


def _time_augmentation(plan: Plan, device: str) -> float:
    """Seconds of one augmented patch: the mean, since each change comes with a probability of its own."""
    augment, place = modern_augmentation(plan, scaling=WIDE), torch.device(device)

    def patch() -> tuple[torch.Tensor, torch.Tensor]:
        image = torch.randn(len(plan.channels), *plan.patch_size, device=place)
        return image, torch.zeros(plan.patch_size, dtype=torch.uint8, device=place)

    patches = [patch() for _ in range(TIMED_AUGMENTATIONS + 1)]
    augment(*patches.pop(), np.random.default_rng(0))
    start = time.perf_counter()
    for number, (image, label) in enumerate(patches):
        augment(image, label, np.random.default_rng(number))
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    return (time.perf_counter() - start) / TIMED_AUGMENTATIONS
