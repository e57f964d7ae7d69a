"""The plan: how cases are prepared and cut into patches. Made once from a fingerprint, readable, editable by hand."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from c2fnas.data.fingerprint import Fingerprint
from c2fnas.data.scheme import LARGEST_VALUE, LabelClass, LabelScheme
from c2fnas.errors import UserError, in_a_line
from c2fnas.faults import faults_in_a_line
from c2fnas.files import write_text
from c2fnas.frozen import Frozen, Sides

LABEL_KEYS = ("regions_class_order", "ignore")
PREPARATION = 3
"""Version of the preparation. A change of its results makes older caches stale."""


class ChannelPlan(Frozen):
    """Normalisation of a channel: ``ct`` is clipped and standardised with these numbers, ``mr`` volume by volume.

    The numbers of a ``ct`` channel are either given, for every fold, or taken from each fold's training cases.
    """

    name: str
    kind: Literal["ct", "mr"]
    clip: tuple[float, float] | None = None
    mean: float | None = None
    std: PositiveFloat | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "ct" and len({each is None for each in (self.clip, self.mean, self.std)}) > 1:
            raise ValueError("a ct channel has clip, mean and std, or none of them")
        if self.clip is not None and self.clip[0] > self.clip[1]:
            raise ValueError("clip runs from the lower to the higher value")
        return self

    @property
    def complete(self) -> bool:
        """True if a volume can be normalised: only ``ct`` without numbers is incomplete."""
        return self.kind == "mr" or self.clip is not None


class ClassPlan(Frozen):
    """A class and its values in label files; ``values[0]`` is written on export.

    ``code`` is the concept that a DICOM SEG has for it: value, scheme and meaning, such as ("10200004", "SCT",
    "Liver"); None for "Tissue".
    """

    name: str
    values: tuple[Annotated[int, Field(ge=0, le=LARGEST_VALUE)], ...] = Field(min_length=1)
    code: tuple[str, str, str] | None = None


class Plan(Frozen):
    """Everything that decides what networks see.

    Sizes and spacings are in the prepared axes (i, j, k); ``axes`` says which canonical axes (0 right, 1 anterior,
    2 superior) these are. Exactly one of ``spacing`` and ``resize`` is set.
    """

    channels: tuple[ChannelPlan, ...] = Field(min_length=1)
    classes: tuple[ClassPlan, ...] = Field(min_length=2)
    regions_class_order: tuple[int, ...] | None = None
    ignore: int | None = None
    axes: tuple[int, int, int] = (0, 1, 2)
    crop_nonzero: bool = False
    spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    resize: Sides | None = None
    nearest_beyond: PositiveFloat | None = None
    patch_size: Sides
    stride: Sides
    ranking_stride: Sides
    batch_size: PositiveInt = 2
    foreground_rate: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sorted(self.axes) != [0, 1, 2]:
            raise ValueError("axes is an order of 0, 1 and 2")
        owners = self.classes if self.regions_class_order is None else (self.classes[0], self._foreground)
        values, names = [value for each in owners for value in each.values], {each.name for each in self.classes}
        if len(set(values)) < len(values) or len(names) < len(self.classes):
            raise ValueError("classes share a value or a name; each has its own")
        if 0 not in self.classes[0].values:
            raise ValueError("the first of classes is the background and has the value 0")
        for finding in self.scheme.findings():
            if finding.severity == "error":
                raise ValueError(f"{finding.found}, expected {finding.expected}")
        if (self.spacing is None) == (self.resize is None):
            raise ValueError("exactly one of spacing and resize is set, the other is null")
        for name, stride in (("stride", self.stride), ("ranking_stride", self.ranking_stride)):
            if any(step > side for step, side in zip(stride, self.patch_size, strict=True)):
                raise ValueError(f"{name} is longer than patch_size, which would leave gaps")
        return self

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the keys of regions and of ignored voxels where there are none, as in plans of earlier versions."""
        content = handler(self)
        return {key: value for key, value in content.items() if key not in LABEL_KEYS or value is not None}

    @property
    def _foreground(self) -> ClassPlan:
        """All values that regions have, which may share them."""
        return ClassPlan(name="", values=tuple({value for each in self.classes[1:] for value in each.values}))

    @property
    def scheme(self) -> LabelScheme:
        """The labels of files, of networks and of predictions."""
        classes = tuple(LabelClass(each.name, each.values) for each in self.classes)
        return LabelScheme(classes, self.regions_class_order, self.ignore)

    @property
    def outputs(self) -> int:
        """The number of a network's outputs: classes with the background, or regions."""
        return self.scheme.outputs

    @property
    def clips_first(self) -> bool:
        """True if images are normalised before they are resampled, as models of version 0.1.0 have it."""
        return False

    @property
    def preparation_key(self) -> str:
        """A SHA-256 of everything that decides the resampled image and the label of a case."""
        content = self.model_dump(mode="json", include={"axes", "crop_nonzero", "spacing", "resize", "nearest_beyond"})
        told = {"name", "kind", *(("clip", "mean", "std") if self.clips_first else ())}
        content["channels"] = [each.model_dump(mode="json", include=told) for each in self.channels]
        content |= {"values": [each.values for each in self.classes], "version": PREPARATION}
        content |= {} if self.regions_class_order is None else {"regions": True}
        content |= {} if self.ignore is None else {"ignore": self.ignore}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


COMMENTS = {
    "channels": "In the image's order. ct: clipped, then (value - mean) / std; null: numbers of the fold's training "
    "cases. mr: standardised volume by volume.",
    "classes": "In the order of class indices; the first is the background. The first value is written on export. "
    "code: the concept in a DICOM SEG, such as ['10200004', SCT, Liver]; null: Tissue.",
    "regions_class_order": "If set, the classes are regions, which may overlap; each is written as its value here, "
    "in this order. Larger regions first.",
    "ignore": "If set, the label value, the highest, of voxels that take no part in losses, statistics and metrics.",
    "axes": "Order of the axes left-right (0), back-front (1), feet-head (2). The last is the one through the slices.",
    "crop_nonzero": "Crop each case to the box of its non-zero voxels.",
    "spacing": "Millimetres between voxels along these axes; volumes are resampled to it. Set this or resize.",
    "resize": "Voxels every volume is resampled to, whatever its spacing.",
    "nearest_beyond": "Where one axis is this many times coarser than the others, resample it by nearest neighbour.",
    "patch_size": "Voxels a network sees at a time.",
    "stride": "Voxels between neighbouring windows in validation and prediction.",
    "ranking_stride": "The same while candidates are ranked.",
    "batch_size": "Patches in a training iteration.",
    "foreground_rate": "Share of patches centred on a foreground voxel, its class drawn evenly.",
}


def save_plan(plan: Plan, path: Path) -> None:
    """Write the plan as YAML, every key with a comment."""
    lines = [
        "# How cases are prepared and cut into patches. Edit before the run starts; a run keeps to its first plan."
    ]
    content = plan.model_dump(mode="json")
    for key in type(plan).model_fields:
        value = content.get(key)
        items = value if key in ("channels", "classes") else None
        text = yaml.safe_dump({key: value}, sort_keys=False, default_flow_style=items is None, width=1000).strip()
        if items is None:
            text = text.removeprefix("{").removesuffix("}")
        else:
            rows = (
                yaml.safe_dump(item, sort_keys=False, default_flow_style=True, width=1000).strip() for item in items
            )
            text = "\n".join([f"{key}:", *(f"  - {row}" for row in rows)])
        lines += ["", f"# {COMMENTS[key]}", text]
    write_text(path, "\n".join(lines) + "\n")


def load_plan(path: Path) -> Plan:
    """Read a plan, edited by hand or not.

    Raises:
        UserError: the file can't be read, or a key is missing, unknown or out of range; the message names it.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML ({in_a_line(error)}).") from error
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        raise UserError(
            f"{path}: {faults_in_a_line(error, Plan)}. Correct it, or delete the file to have the plan made again."
        ) from error


def refuse_unfit(plan: Plan, fingerprint: Fingerprint, path: Path) -> None:
    """Refuse the plan of ``path`` if its channels are not the data set's, or a label of that has no class."""
    planned, channels = len(plan.channels), len(fingerprint.channels)
    if planned != channels:
        raise UserError(f"{path}: channels: {planned}, but the images have {channels}. Give one entry for each.")
    known = {value for each in plan.classes for value in each.values}
    found = {value for part in fingerprint.scheme.parts for value in part.values}
    left = sorted(found - known - {plan.ignore})
    if left:
        raise UserError(
            f"{path}: classes: none has the label {', '.join(map(str, left))} of the data set. Add it to the values of "
            "a class, of the background if it is to be left out."
        )


def differences(plan: Plan, other: Plan) -> list[str]:
    """The keys in which two plans differ."""
    return [key for key in type(plan).model_fields if getattr(plan, key) != getattr(other, key)]
