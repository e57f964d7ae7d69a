"""A few training steps and windows, timed on the machine at hand by a worker: the driver touches no accelerator."""

import os
import time
from dataclasses import asdict, replace
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from c2fnas.cores import usable_threads
from c2fnas.data.augment import WIDE, modern_augmentation
from c2fnas.data.plan import Plan
from c2fnas.execution.environment import is_cuda
from c2fnas.inference.forward import computing
from c2fnas.inference.windows import windows_at_a_time
from c2fnas.networks.designs import Design, build_design, design_from_json
from c2fnas.planning.probe import run_once
from c2fnas.runs.timing.timings import Timings
from c2fnas.shapes import Size
from c2fnas.training.loop import time_iterations
from c2fnas.training.recipe import Recipe

TIMED_ITERATIONS, TIMED_AUGMENTATIONS = 3, 12


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
    return Timings(**run_once("timing", "c2fnas.planning.step_timing:time_on_device", payload, devices))


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
