"""The plan: how cases are prepared and cut into patches. Written once, readable, editable by hand before the run."""

from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from c2fnas.data.fingerprint import Fingerprint
from c2fnas.errors import UserError
from c2fnas.files import write_text

Size = tuple[PositiveInt, PositiveInt, PositiveInt]
Style = Literal["paper", "planned"]
MULTIPLE = 8
PATCH_VOXELS = 128 * 128 * 128
ANISOTROPY = 3.0

HEADER = """\
# How cases are prepared and cut into patches. Edit it before the run starts; afterwards it is fixed.
# spacing: millimetres between voxels along i, j, k. resize: voxels, in place of spacing (the paper's Hippocampus).
# axes: which of left-right (0), posterior-anterior (1), inferior-superior (2) become i, j, k; the last is through-plane.
# stride, ranking_stride: voxels between sliding windows in validation and when candidates are ranked.
# foreground_rate: the share of patches that are centred on a foreground voxel.
"""


class Frozen(BaseModel):
    """A frozen value that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ChannelPlan(Frozen):
    """How a channel is normalised. CT: clipped, then standardised with these; MR: standardised per volume (paper 4.1)."""

    name: str
    kind: Literal["ct", "mr"]
    clip: tuple[float, float] | None = None
    mean: float | None = None
    std: PositiveFloat | None = None


class ClassPlan(Frozen):
    """A class and its values in label files; the first is written on export."""

    name: str
    values: tuple[int, ...] = Field(min_length=1)


class Plan(Frozen):
    """Everything that decides what a prepared case and a patch look like."""

    channels: tuple[ChannelPlan, ...]
    classes: tuple[ClassPlan, ...]
    spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    resize: Size | None = None
    axes: tuple[int, int, int] = (0, 1, 2)
    crop_nonzero: bool = False
    patch_size: Size
    stride: Size
    ranking_stride: Size
    batch_size: PositiveInt = 2
    foreground_rate: float = Field(0.0, ge=0, le=1)


def make_plan(fingerprint: Fingerprint, *, style: Style) -> Plan:
    """Plan from a fingerprint: ``paper`` as section 4.1 has it, ``planned`` fitted to the data."""
    return _paper_plan(fingerprint) if style == "paper" else _fitted_plan(fingerprint)


def _paper_plan(fingerprint: Fingerprint) -> Plan:
    """1.0 mm isotropic, 96³ at stride 16, ranking at 48, with the paper's exceptions for Prostate and Hippocampus."""
    name = fingerprint.name.lower()
    common = {"channels": _channels(fingerprint), "classes": _classes(fingerprint), "batch_size": 16}
    if "hippocampus" in name:
        return Plan(resize=(96, 96, 96), patch_size=(96, 96, 96), stride=(16, 16, 16), ranking_stride=(48, 48, 48), **common)
    if "prostate" in name:
        return Plan(spacing=(1, 1, 1), patch_size=(128, 128, 32), stride=(16, 16, 4), ranking_stride=(48, 48, 12), **common)
    return Plan(spacing=(1, 1, 1), patch_size=(96, 96, 96), stride=(16, 16, 16), ranking_stride=(48, 48, 48), **common)


def _fitted_plan(fingerprint: Fingerprint) -> Plan:
    """Median spacing (finer through the plane where that is coarse), a patch fitted to the median volume."""
    spacings = np.array([case.spacing for case in fingerprint.cases])
    spacing = np.median(spacings, axis=0)
    through = int(np.argmax(spacing))
    if spacing[through] > ANISOTROPY * np.delete(spacing, through).max():
        spacing[through] = max(np.quantile(spacings[:, through], 0.1), np.delete(spacing, through).max())
    axes = tuple(axis for axis in range(3) if axis != through) + (through,) if spacing[through] > 1.5 * spacing.min() else (0, 1, 2)
    extents = np.array([np.array(case.shape) * case.spacing for case in fingerprint.cases])
    shape = np.median(extents / spacing, axis=0)[list(axes)]
    patch = fit_patch(tuple(shape))
    half = tuple(max(1, side // 2) for side in patch)
    return Plan(
        channels=_channels(fingerprint), classes=_classes(fingerprint), axes=axes,
        spacing=tuple(float(round(mm, 4)) for mm in spacing[list(axes)]), patch_size=patch, stride=half,
        ranking_stride=tuple(max(1, 3 * side // 4) for side in patch), batch_size=2, foreground_rate=0.33,
    )  # fmt: skip


def fit_patch(shape: tuple[float, ...], voxels: int = PATCH_VOXELS) -> Size:
    """The patch that covers ``shape``, each side a multiple of 8; the longest side shrinks until it holds ``voxels``.

    >>> fit_patch((36, 50, 35))
    (40, 56, 40)
    """
    sides = [max(MULTIPLE, int(-(-size // MULTIPLE)) * MULTIPLE) for size in shape]
    while np.prod(sides) > voxels:
        longest = int(np.argmax(sides))
        sides[longest] -= MULTIPLE
    i, j, k = sides
    return i, j, k


def save_plan(plan: Plan, path: Path) -> None:
    """Write the plan as YAML with a comment on every key that wants one."""
    write_text(path, HEADER + yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, default_flow_style=None))


def load_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        UserError: unreadable, or a key is missing, unknown or out of range; the message names it.
    """
    try:
        return Plan.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"{path}: {faults}. Correct these keys, or delete the file to have it planned anew.") from error
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML ({error}).") from error


def _channels(fingerprint: Fingerprint) -> tuple[ChannelPlan, ...]:
    return tuple(
        ChannelPlan(name=each.name, kind="ct", clip=(each.low, each.high), mean=each.mean, std=max(each.std, 1e-6))
        if each.kind == "ct" else ChannelPlan(name=each.name, kind="mr")
        for each in fingerprint.channels
    )  # fmt: skip


def _classes(fingerprint: Fingerprint) -> tuple[ClassPlan, ...]:
    return tuple(ClassPlan(name=each.name, values=each.values) for each in fingerprint.classes)
