"""From a fingerprint to a plan: spacing, axes, patch and strides, in the paper's way or fitted to the data."""

import re
from collections.abc import Mapping
from math import prod
from typing import Any, Literal

import numpy as np

from c2fnas.data.fingerprint import Fingerprint
from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan
from c2fnas.data.problem import Problem
from c2fnas.planning.patch_size import (
    ANISOTROPY,
    MULTIPLE,
    Fits,
    axis_order,
    fitted_patch,
    median_shape,
    part_of,
    target_spacing,
)
from c2fnas.text import crossed, some

Style = Literal["paper", "planned"]

TASK_NUMBER = re.compile(r"^(task|dataset)\d+[-_ ]")
"""Before the name of a task in folders of the Decathlon and of nnU-Net."""

LARGEST_PATCH = 96**3
PLANNED_BATCH = 2
"""Patches an iteration where the plan is fitted to the data, as nnU-Net has it for large patches."""
CROPPED_SHARE = 0.8
FEW_VOXELS = 8
"""A structure of fewer is one voxel at most after the first reduction."""
SMALL_SHARE = 0.1
"""Share of a volume beyond which a structure isn't small, whatever its voxels."""


def make_plan(
    fingerprint: Fingerprint,
    *,
    style: Style,
    given: Mapping[str, Any] | None = None,
    most_voxels: int = LARGEST_PATCH,
    batch_size: int | None = None,
    fits: Fits = lambda patch: True,
) -> Plan:
    """Plan a data set in the paper's way (section 4.1) or fitted to the data.

    Args:
        fingerprint: the data set's.
        style: ``paper`` resamples to 1.0 mm isotropic and takes 96³ patches at stride 16, with the paper's exceptions
            for Prostate and Hippocampus, known by their names. ``planned`` keeps the data's own spacing and fits the
            patch to their size.
        given: values of the plan's fields that it takes instead of its own; what follows from them is planned by them.
        most_voxels: the largest planned patch.
        batch_size: patches an iteration; by default 16 in the paper, else :data:`PLANNED_BATCH`.
        fits: true if a patch fits the memory, by measurement; planned patches shrink until it does.

    Raises:
        NothingFits: not even the least patch does.
        ValueError: what is given contradicts itself.
    """
    wanted = dict(given or {})
    if "resize" in wanted:
        wanted.setdefault("spacing", None)
    if style == "paper":
        fields = _paper_plan(fingerprint, batch_size or 16)
    else:
        fields = _fitted_plan(fingerprint, wanted, most_voxels, batch_size or PLANNED_BATCH, fits)
    if wanted.get("spacing") is not None:
        fields["resize"] = None
    return Plan(**_channels_and_classes(fingerprint), **(fields | wanted))


def _paper_plan(fingerprint: Fingerprint, batch_size: int) -> dict[str, Any]:
    names = {TASK_NUMBER.sub("", name.lower()) for name in (fingerprint.name, fingerprint.folder)}
    sides: dict[str, Any] = {"patch_size": (96, 96, 96), "stride": (16, 16, 16), "ranking_stride": (48, 48, 48)}
    grid: dict[str, Any] = {"spacing": (1.0, 1.0, 1.0)}
    if "hippocampus" in names:
        grid = {"resize": (96, 96, 96)}
    elif "prostate" in names:
        sides = {"patch_size": (128, 128, 32), "stride": (16, 16, 4), "ranking_stride": (48, 48, 12)}
    return grid | sides | {"batch_size": batch_size}


def _fitted_plan(
    fingerprint: Fingerprint, given: Mapping[str, Any], most_voxels: int, batch_size: int, fits: Fits
) -> dict[str, Any]:
    cases = fingerprint.cases
    crop = fingerprint.nonzero_share < CROPPED_SHARE and all(each.kind == "mr" for each in fingerprint.channels)
    crop = given.get("crop_nonzero", crop)
    shapes = [case.nonzero_shape if crop else case.shape for case in cases]
    spacings = [case.spacing for case in cases]
    target = target_spacing(spacings, shapes)
    i, j, k = axes = axis_order(target)
    ordered = given.get("spacing") or (target[i], target[j], target[k])
    moved = [(spacing[i], spacing[j], spacing[k]) for spacing in spacings]
    sizes = [(shape[i], shape[j], shape[k]) for shape in shapes]
    shape = given.get("resize") or median_shape(moved, sizes, ordered)
    patch = given.get("patch_size") or fitted_patch(shape, ordered, most_voxels, fits)
    return {
        "axes": axes,
        "crop_nonzero": crop,
        "spacing": ordered,
        "nearest_beyond": ANISOTROPY,
        "patch_size": patch,
        "stride": part_of(patch, 1 / 2),
        "ranking_stride": part_of(patch, 3 / 4),
        "batch_size": batch_size,
        "foreground_rate": 0.3333,
    }


def _channels_and_classes(fingerprint: Fingerprint) -> dict[str, Any]:
    channels = [ChannelPlan(name=each.name, kind=each.kind) for each in fingerprint.channels]
    classes = [ClassPlan(name=each.name, values=each.values) for each in fingerprint.classes]
    labels = {"regions_class_order": fingerprint.regions_class_order, "ignore": fingerprint.ignore}
    return {"channels": tuple(channels), "classes": tuple(classes), **labels}


def small_classes(fingerprint: Fingerprint, file: object, plan: Plan | None = None) -> tuple[Problem, ...]:
    """Return a warning about the classes that are next to nothing at a plan's spacing, by default the likely one."""
    plan = plan or make_plan(fingerprint, style="planned")
    if plan.spacing is None:
        return ()
    found, least = [], float("inf")
    for index, each in list(enumerate(fingerprint.classes))[1:]:
        held = [(case.voxels[index], case) for case in fingerprint.cases if case.voxels[index]]
        shares = [voxels / prod(case.shape) for voxels, case in held]
        sizes = [voxels * prod(case.spacing) / prod(plan.spacing) for voxels, case in held]
        if held and np.median(shares) < SMALL_SHARE and (middle := float(np.median(sizes))) < FEW_VOXELS:
            found.append(f"{each.name!r} of {middle:.2g} voxels in the median case")
            least = min(least, middle)
    if not found:
        return ()
    finer = [round(mm * min(1.0, least / FEW_VOXELS) ** (1 / 3), 2) for mm in plan.spacing]
    fix = f"Plan a finer spacing, `--set plan.spacing={str(finer).replace(' ', '')}`, or merge the class with another."
    text = f"{some(found, 5, kind='classes')} at the planned spacing of {crossed(plan.spacing)} mm"
    return (Problem.warning(file, text, f"at least {FEW_VOXELS} voxels to learn from", fix),)


def scaled_plan(plan: Plan, factor: float) -> Plan:
    """Return the plan with a patch of ``factor`` times its sides, and strides in proportion; 1 changes nothing."""
    if factor == 1:
        return plan
    patch = tuple(max(MULTIPLE, round(side * factor / MULTIPLE) * MULTIPLE) for side in plan.patch_size)
    sides = {"patch_size": patch} | {
        name: tuple(min(side, max(1, round(step * factor))) for side, step in zip(patch, strides, strict=True))
        for name, strides in (("stride", plan.stride), ("ranking_stride", plan.ranking_stride))
    }
    return plan.model_copy(update=sides)
