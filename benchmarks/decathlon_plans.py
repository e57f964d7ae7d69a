"""What `hour` and `day` would plan for the ten tasks of the Decathlon, on paper: no data, no training.

Shapes, spacings and numbers of cases are the published medians (nnU-Net, Isensee et al. 2021, supplement). Two things
are assumed and stand in the table's head: the seconds of a training step, and a rough ellipsoid for each task's
smallest structure, in a foreground of some size, that stands for labels that are not here.

    python benchmarks/decathlon_plans.py > docs/results/decathlon-plans.md
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from c2fnas.data.fingerprint import CaseFingerprint, ChannelFingerprint, ClassFingerprint, Fingerprint
from c2fnas.data.plan import Plan
from c2fnas.planning.budget import coverage, workload
from c2fnas.planning.choice import FLOOR, FLOOR_OF_A_DAY, Weighing, choose_plan
from c2fnas.planning.counts import scheduled
from c2fnas.planning.labels import SampledLabel
from c2fnas.planning.middle import middle_network
from c2fnas.planning.plan import make_plan
from c2fnas.planning.presets import complete_recipe, draft, load_budget
from c2fnas.runs.config import RunConfig
from c2fnas.runs.records.plan_choice import WeighedPlan
from c2fnas.runs.timing.timings import Timings
from c2fnas.space.memory import training_memory
from c2fnas.text import crossed

FOLDS = 5
ROUGH = 2.0
"""Millimetres between the bumps of a structure's surface."""
WINDOW, AUGMENTED = 0.3, 0.05
"""A window and an augmentation in parts of a training step of one patch."""


@dataclass(frozen=True)
class Task:
    """A task by its published medians. Assumed, in millimetres: half axes of its smallest structure, its foreground."""

    name: str
    cases: int
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    channels: int
    classes: int
    smallest: tuple[float, float, float]
    box: tuple[float, float, float]
    ct: bool = True


@dataclass(frozen=True)
class Gpu:
    """A GPU: bytes, and the assumed seconds of a training step on a patch of 96³ voxels at width 1."""

    name: str
    memory: float
    patch: float


TASKS = (
    Task("BrainTumour", 484, (240, 240, 155), (1.0, 1.0, 1.0), 4, 4, (12, 12, 12), (90, 90, 80), ct=False),
    Task("Heart", 20, (320, 232, 115), (1.25, 1.25, 1.37), 1, 2, (40, 30, 30), (120, 100, 100), ct=False),
    Task("Liver", 131, (512, 512, 432), (0.77, 0.77, 1.0), 1, 3, (12, 12, 12), (260, 220, 190)),
    Task("Hippocampus", 260, (36, 50, 35), (1.0, 1.0, 1.0), 1, 3, (7, 12, 7), (20, 37, 25), ct=False),
    Task("Prostate", 32, (320, 319, 20), (0.62, 0.62, 3.6), 2, 3, (20, 10, 15), (55, 45, 50), ct=False),
    Task("Lung", 63, (512, 512, 252), (0.79, 0.79, 1.24), 1, 2, (12, 12, 12), (50, 50, 50)),
    Task("Pancreas", 281, (512, 512, 96), (0.80, 0.80, 2.5), 1, 3, (12, 12, 12), (150, 80, 70)),
    Task("HepaticVessel", 303, (512, 512, 49), (0.80, 0.80, 5.0), 1, 3, (40, 4, 12), (180, 150, 120)),
    Task("Spleen", 41, (512, 512, 90), (0.79, 0.79, 5.0), 1, 2, (40, 30, 50), (110, 90, 110)),
    Task("Colon", 126, (512, 512, 95), (0.78, 0.78, 5.0), 1, 2, (20, 15, 15), (60, 60, 50)),
)
GPUS = (Gpu("24 GB", 24e9, 0.045), Gpu("80 GB", 80e9, 0.018))


def fingerprint(task: Task) -> Fingerprint:
    """Return a data set of equal cases."""
    kind = "ct" if task.ct else "mr"
    channel = ChannelFingerprint(name=kind, kind=kind, low=0, high=1, mean=0, std=1)
    case = {"shape": task.shape, "nonzero_shape": task.shape, "spacing": task.spacing, "sha256": "", "files": ()}
    return Fingerprint(
        name=task.name,
        folder=task.name,
        channels=(channel,) * task.channels,
        classes=tuple(ClassFingerprint(name=f"{n}", values=(n,), cases=task.cases) for n in range(task.classes)),
        cases=tuple(CaseFingerprint(id=f"{n}", voxels=(1,) * task.classes, **case) for n in range(task.cases)),
    )


def structure(task: Task) -> SampledLabel:
    """Return the ellipsoid that stands for the smallest structure, its surface rough by a few millimetres."""
    sides = [int(2 * half / mm) + 17 for half, mm in zip(task.smallest, task.spacing, strict=True)]
    axes = [
        ((np.arange(side) - (side - 1) / 2) * mm / half) ** 2
        for side, mm, half in zip(sides, task.spacing, task.smallest, strict=True)
    ]
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=sides), [ROUGH / mm for mm in task.spacing])
    depth = axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :] + 0.3 * noise / noise.std()
    return SampledLabel((depth <= 1).astype(np.uint8), task.spacing, task.box)


def plan_of(task: Task, gpu: Gpu, config: RunConfig) -> WeighedPlan:
    """Return the plan that the budget pays for."""
    found, network = fingerprint(task), middle_network(config.space, 1.0)
    assert config.hours is not None

    def fits(patch: tuple[int, int, int]) -> bool:
        memory = training_memory(
            network, in_channels=task.channels, classes=task.classes, input_size=patch, precision="bf16"
        )
        return memory.of(2) <= 0.9 * gpu.memory

    def make(given: dict[str, Any], most: int) -> Plan:
        return make_plan(found, style="planned", given=given, most_voxels=most, fits=fits)

    folds = FOLDS if config.deployment.folds == "all" else 1
    weighing = Weighing(
        [structure(task)],
        found,
        seconds=3600 * config.hours / folds,
        training_cases=task.cases * (FOLDS - 1) // FOLDS,
        floor=FLOOR_OF_A_DAY if config.hours >= 24 else FLOOR,
    )
    return choose_plan(make, lambda plan: gpu.patch / 96**3, weighing, {})[0]


def counts_of(task: Task, chosen: WeighedPlan, config: RunConfig) -> dict[str, Any]:
    """Return the counts of the whole budget."""
    plan = chosen.plan
    assert plan.spacing is not None
    shape = tuple(
        max(1, round(task.shape[axis] * task.spacing[axis] / mm))
        for axis, mm in zip(plan.axes, plan.spacing, strict=True)
    )
    box = [task.box[axis] / mm for axis, mm in zip(plan.axes, plan.spacing, strict=True)]
    seen = coverage(plan.patch_size, shape, box, plan.foreground_rate)
    folds = FOLDS if config.deployment.folds == "all" else 1
    cases = max(1, task.cases // FOLDS)
    work = workload(plan, [shape] * cases, 1, folds, training_cases=task.cases - cases, coverage=seen)  # type: ignore[list-item]
    seconds = chosen.patch_seconds
    timings = Timings(seconds, WINDOW * seconds, AUGMENTED * seconds)
    part = {"name": "modern"}
    assert config.hours is not None
    return scheduled(
        config,
        timings,
        work,
        lambda stage, length: complete_recipe(part | {"iterations": length}, stage, plan, "bf16"),
        3600 * config.hours,
    )


def row(task: Task, gpu: Gpu, budget: str) -> str:
    """Return a line of the table."""
    config = draft(load_budget(budget), budget)
    chosen = plan_of(task, gpu, config)
    counts = counts_of(task, chosen, config)
    searched = counts["coarse.evaluations"]
    coarse = f"{searched} × {counts['coarse.recipe.iterations']:,}" if searched else "–"
    fine = f"{counts['fine.candidates']:,}" if counts.get("fine.candidates") else "–"
    spacing = crossed(chosen.plan.spacing or ())
    cells = [task.name, gpu.name, budget, spacing, crossed(chosen.plan.patch_size), f"{chosen.ceiling:.3f}"]
    cells += [coarse, fine, f"{counts['deployment.recipe.iterations']:,}"]
    return f"| {' | '.join(cells)} |"


HEAD = """\
On paper: nothing here was trained. Shapes, spacings and cases are the published medians. Assumed are the seconds of a
training step on a patch of 96³ at width 1 ({speeds}), and of each task's labels a rough ellipsoid for
the smallest structure, of which the ceiling speaks, in a foreground of some size. Preparation is free.

Topologies × iterations each; a dash where the time does not pay for a search. Iterations are of two patches; `day`
trains five folds. Made by `python benchmarks/decathlon_plans.py`.
"""


def main() -> None:
    """Print the page."""
    speeds = ", ".join(f"{gpu.patch:g} s on {gpu.name}" for gpu in GPUS)
    print("# What a budget would plan for the Decathlon\n")
    print(HEAD.format(speeds=speeds))
    print("| task | GPU | budget | spacing (mm) | patch | ceiling | topologies | paths | final iterations |")
    print("|---|---|---|---|---|---|---|---|---|")
    for task in TASKS:
        for gpu in GPUS:
            for budget in ("hour", "day"):
                print(row(task, gpu, budget), flush=True)


if __name__ == "__main__":
    main()
