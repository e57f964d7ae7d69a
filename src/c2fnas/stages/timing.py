"""A few training steps and windows, timed on the machine at hand."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import torch

from c2fnas.data.plan import Plan
from c2fnas.inference.designs import Design, build_design
from c2fnas.inference.forward import autocast
from c2fnas.space.architecture import Architecture
from c2fnas.space.search_space import SearchSpace
from c2fnas.training.loop import time_iterations
from c2fnas.training.recipe import Recipe

TIMED_ITERATIONS = 3


@dataclass(frozen=True)
class Timings:
    """Seconds on one device of the machine at hand.

    Attributes:
        patch: forward and backward of one patch through a network in the middle of the space.
        window: forward of one window.
    """

    patch: float
    window: float


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
    return Timings(patch=seconds / patches, window=_time_window(network, plan, patches, recipe, device) / patches)


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
