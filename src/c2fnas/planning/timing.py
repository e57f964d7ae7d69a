"""A few training steps and windows, timed on the machine at hand."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch

from c2fnas.data.augment import modern_augmentation
from c2fnas.data.plan import Plan
from c2fnas.inference.forward import autocast
from c2fnas.networks.designs import Design, build_design
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
        augmentation: of one patch, where a recipe has the modern one; it takes its time from the training on a CPU.
    """

    patch: float
    window: float
    augmentation: float = 0.0


def measure(plan: Plan, space: SearchSpace, width: float, recipe: Recipe, device: str) -> Timings:
    """Time a few training steps and windows on ``device``; the network is the middle one of the space's topologies."""
    topologies = space.topologies()
    return measure_network(plan, Architecture.uniform(topologies[len(topologies) // 2], width=width), recipe, device)


def measure_network(plan: Plan, design: Design, recipe: Recipe, device: str) -> Timings:
    """Time a few training steps and windows of ``design`` on ``device``."""
    channels, classes = len(plan.channels), len(plan.classes)
    network = build_design(design, in_channels=channels, classes=classes)
    patches = min(2, recipe.batch_size)
    timed = recipe.model_copy(update={"volumes": patches, "patches_per_volume": 1, "micro_batch": None})
    seconds = time_iterations(network, lambda a, b: _noise(a, b, plan, patches), timed, TIMED_ITERATIONS, device=device)
    window = _time_window(network, plan, patches, recipe, device) / patches
    return Timings(patch=seconds / patches, window=window, augmentation=_time_augmentation(plan, device))


def _noise(start: int, stop: int, plan: Plan, patches: int) -> Iterator[SimpleNamespace]:
    """Random batches in the plan's shape."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(start, stop):
        image = torch.randn(patches, len(plan.channels), *plan.patch_size, generator=generator)
        label = torch.randint(len(plan.classes), (patches, *plan.patch_size), generator=generator)
        yield SimpleNamespace(image=image, label=label)


def _time_window(network: torch.nn.Module, plan: Plan, windows: int, recipe: Recipe, device: str) -> float:
    """Seconds of one forward of ``windows`` windows in the recipe's precision, after a warm-up."""
    network = network.to(device).eval()
    image = torch.randn(windows, len(plan.channels), *plan.patch_size, device=device)
    with torch.inference_mode(), autocast(torch.device(device), recipe.precision):
        network(image).sum().item()
        start = time.perf_counter()
        network(image).sum().item()
    return time.perf_counter() - start


def _time_augmentation(plan: Plan, device: str) -> float:
    """Seconds of one augmented patch: the mean, since each change comes with a probability of its own."""
    augment, place = modern_augmentation(plan), torch.device(device)
    patches = [
        (
            torch.randn(len(plan.channels), *plan.patch_size, device=place),
            torch.zeros(plan.patch_size, dtype=torch.uint8, device=place),
        )
        for _ in range(TIMED_AUGMENTATIONS + 1)
    ]
    augment(*patches.pop(), np.random.default_rng(0))
    start = time.perf_counter()
    for number, (image, label) in enumerate(patches):
        augment(image, label, np.random.default_rng(number))
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    return (time.perf_counter() - start) / TIMED_AUGMENTATIONS
