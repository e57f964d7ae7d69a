"""The networks that a found one has to beat, the primary one first: each is trained with the found network's recipe."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from c2fnas.files import read_json, write_json
from c2fnas.memory import measured as memory_of
from c2fnas.networks.baselines import Baseline
from c2fnas.networks.baselines.dynunet import planned_levels
from c2fnas.networks.designs import Design, design_from_json
from c2fnas.planning.feasible import is_within_limits
from c2fnas.planning.probe import run_once
from c2fnas.planning.step_timing import time_network
from c2fnas.runs.run import Run
from c2fnas.shapes import Spacing
from c2fnas.space.architecture import Architecture
from c2fnas.text import crossed, plural
from c2fnas.training.recipe import Recipe

UNET = "unet3d_stem"
FINEST = 2048
"""Filters of the U-Net are 32 to 512 times the width, rounded: they change at multiples of 1/1024 alone, so that odd
multiples of 1/2048 show every width there is, and never one where a half would be rounded."""

DRAW = 1729
"""A part of the seed of the random reference, whose draw is its own and no stage's."""

COSTS, MEASURE = "costs.json", "c2fnas.studies.references:measure_design"


@dataclass(frozen=True)
class Rival:
    """A reference before its training.

    Attributes:
        name: a word for programs, and its folder.
        title: in words, to stand in a sentence.
        design: the network; None where there is none of the kind, for ``note``.
        note: how it was chosen, without a full stop.
        iterations: of its training; the found network's where None.
    """

    name: str
    title: str
    design: Design | None
    note: str
    iterations: int | None = None


@dataclass(frozen=True)
class Measured:
    """Measurements of a design on the run's first device: seconds of a training patch and of a window, and memory."""

    patch: float
    window: float
    memory: int


def rivals(run: Run, searched: Architecture, count: int) -> tuple[Rival, ...]:
    """Return ``count`` references, the primary one first.

    What the last one takes is measured once: how long its training is depends on it.
    """
    makers: tuple[Callable[[Run, Architecture], Rival], ...] = (_equal_macs, _random, _planned, _equal_parameters)
    return tuple(make(run, searched) for make in makers[:count])


def unet_of_equal(run: Run, kind: Literal["macs", "parameters"], amount: int) -> Baseline:
    """Return the U-Net with the stem whose cost, multiply-accumulates of a patch or parameters, is nearest."""

    @cache
    def at(step: int) -> tuple[Baseline, int]:
        unet = Baseline(UNET, (2 * step + 1) / FINEST)
        return unet, getattr(run.cost(unet), kind)

    low, high = 0, 1
    while at(high)[1] < amount:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle)[1] < amount else (low, middle)
    return min((at(low), at(high)), key=lambda each: abs(each[1] - amount))[0]


def random_architecture(run: Run, width: float) -> Architecture:
    """Return a topology and operations drawn by the run's seed alone, within the limits of its coarse stage."""
    rng, topologies = np.random.default_rng((DRAW, run.config.seed)), run.config.space.topologies()
    order = (topologies[place] for place in rng.permutation(len(topologies)))
    topology = next(each for each in order if is_within_limits(run, each))
    return Architecture(topology, run.config.space.random_operations(rng), width)


def measured(run: Run, designs: Sequence[Design]) -> dict[Design, Measured]:
    """Return what designs take on the run's first device, without those that can't be measured there.

    It is kept in the run, so that each is measured once: how long a reference is trained never changes.
    """
    path = run.folder.verdict / COSTS
    known: dict[str, Any] = read_json(path) if path.exists() else {}
    common = {"run": str(run.folder.root.resolve()), "recipe": run.config.deployment.recipe.model_dump(mode="json")}
    for design in (each for each in designs if each.to_text() not in known):
        with suppress(MemoryError, RuntimeError):  # in a process of its own: a second one reuses what the first freed
            taken = run_once("costs", MEASURE, common | {"design": design.to_json()}, run.config.devices)
            known[design.to_text()] = taken
            write_json(path, known)
    return {each: Measured(**known[each.to_text()]) for each in designs if each.to_text() in known}


def measure_design(payload: dict[str, Any], folder: Path, device: str) -> dict[str, Any]:
    """Time a design and see how far memory grows; the job of :func:`measured`."""
    plan, recipe = Run.open(Path(payload["run"])).plan, Recipe.model_validate(payload["recipe"])
    design = design_from_json(payload["design"])
    timings, memory = memory_of(partial(time_network, plan, design, recipe, device), device)
    return asdict(Measured(timings.patch + timings.augmenting(recipe), timings.window, memory))


def _equal_macs(run: Run, searched: Architecture) -> Rival:
    return _equal(run, searched, "macs", "unet_macs", "U-Net of equal MACs", "multiply-accumulates")


def _equal_parameters(run: Run, searched: Architecture) -> Rival:
    return _equal(run, searched, "parameters", "unet_parameters", "U-Net of equal parameters", "parameters")


def _equal(
    run: Run, searched: Architecture, kind: Literal["macs", "parameters"], name: str, title: str, what: str
) -> Rival:
    amount = getattr(run.cost(searched), kind)
    unet = unet_of_equal(run, kind, amount)
    more = getattr(run.cost(unet), kind) / amount - 1
    near = f"{abs(more):.1%} {'more' if more > 0 else 'fewer'} {what}"
    return Rival(name, title, unet, f"with the same half-resolution stem, as near as whole filters allow: {near}")


def _random(run: Run, searched: Architecture) -> Rival:
    design = random_architecture(run, searched.width)
    topologies = plural(run.config.space.topology_count, "topology", "topologies")
    return Rival("random", "random network", design, f"topology of {topologies} and operations drawn by the seed alone")


def _planned(run: Run, searched: Architecture) -> Rival:
    plan, own = run.plan, run.config.deployment.recipe.iterations
    spacing: Spacing = plan.spacing or (1.0, 1.0, 1.0)
    title, levels = "nnU-Net's U-Net at equal training time", planned_levels(plan.patch_size, spacing)
    if len(levels) < 2:
        return Rival("dynunet", title, None, f"nnU-Net's rules halve no axis of a patch of {crossed(plan.patch_size)}")
    design = Baseline("dynunet", levels=levels)
    costs = measured(run, (searched, design))
    if design not in costs or searched not in costs:
        return Rival("dynunet", title, None, "its training steps could not be timed on this device")
    iterations = max(1, round(own * costs[searched].patch / costs[design].patch))
    note = (
        f"levels, kernels and filters as nnU-Net plans them for {crossed(plan.patch_size)}; its "
        f"{plural(iterations, 'iteration')} take as long as the searched network's {own}"
    )
    return Rival("dynunet", title, design, note, iterations)
