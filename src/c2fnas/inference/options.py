"""Options of a prediction, as numbers or as text, checked before torch is imported."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from c2fnas.data.geometry import parse_spacing
from c2fnas.devices import refuse_unknown_device
from c2fnas.errors import UserError
from c2fnas.shapes import Size, Spacing

Vote = Literal["majority", "mean"]
Grid = Literal["image", "network"]
AnyPrecision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Extras:
    """Files that are written beside the labels of a case.

    Args:
        probabilities: Class probabilities, half precision and compressed, in this grid; None for none.
        statistics: Volumes, intensities, boxes and remarks on quality, of all cases in one JSON and one CSV.
        preview: A picture of three planes.
        dicom_seg: Labels are a DICOM SEG instead of a volume file.
        identifiers: Statistics tell the files of a case, and the patient and study of DICOM.
    """

    probabilities: Grid | None = None
    statistics: bool = False
    preview: bool = False
    dicom_seg: bool = False
    identifiers: bool = False

    def __post_init__(self) -> None:
        if self.probabilities is not None:
            refuse_other("--save-probabilities", self.probabilities, get_args(Grid))


LABELS_ALONE = Extras()


@dataclass(frozen=True)
class Options:
    """The options of a prediction.

    Args:
        vote: How several models are fused: majority voting (paper 4.2), or the mean probability.
        mirror: Average over all eight mirrorings; None: as the model was validated.
        stride: Voxels between windows, one number or three; None: the model's.
        device: ``auto`` (the first GPU, else the CPU), ``cpu``, ``cuda:1`` ...
        precision: ``auto``: what the device computes fast.
        max_memory: What to compute in, such as ``8G``: the GPU's memory, or on the CPU all of this process's.
        spacing: The true one in mm along the images' own axes, where headers have lost it; None: the header's.
        keep_largest: Keep the largest component of every class alone, or of none; None: as the model has it.
        extras: What is written beside labels.

    Raises:
        UserError: an option is wrong on any machine.
    """

    vote: Vote = "majority"
    mirror: bool | None = None
    stride: int | str | Size | None = None
    device: str = "auto"
    precision: AnyPrecision = "auto"
    max_memory: int | str | None = None
    spacing: str | Spacing | None = None
    keep_largest: bool | None = None
    extras: Extras = LABELS_ALONE

    def __post_init__(self) -> None:
        refuse_unknown_device(self.device)
        refuse_other("--vote", self.vote, get_args(Vote))
        refuse_other("--precision", self.precision, get_args(AnyPrecision))
        _ = self.steps, self.bytes, self.stated

    @property
    def steps(self) -> Size | None:
        """Voxels between windows per axis."""
        return None if self.stride is None else parse_stride(self.stride)

    @property
    def bytes(self) -> int | None:
        """Bytes to compute in."""
        return None if self.max_memory is None else parse_bytes(self.max_memory)

    @property
    def stated(self) -> Spacing | None:
        """Millimetres between voxels."""
        return None if self.spacing is None else stated_spacing(self.spacing)


def refuse_other(option: str, value: str, known: Sequence[str]) -> None:
    """Refuse a value that is none of those that are known."""
    if value not in known:
        raise UserError(f"{option} {value}: give {', '.join(known[:-1])} or {known[-1]}.")


def _listed(values: object) -> str:
    """A number, a text or a sequence of numbers as a text with commas."""
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        return str(values)
    return ",".join(map(str, values))


def stated_spacing(spacing: str | Spacing) -> Spacing:
    """Return the true spacing that an option states, as text or as a sequence of numbers.

    Raises:
        UserError: it is none.
    """
    try:
        return parse_spacing(_listed(spacing))
    except ValueError as error:
        raise UserError(
            f"--spacing {spacing}: give millimetres along the images' own axes, one number or three: 1.25,1.25,8."
        ) from error


def parse_stride(stride: str | int | Size) -> Size:
    """Return a number of voxels per axis from 16, ``"16"``, ``"16,16,4"`` or a sequence such as ``(16, 16, 4)``.

    Raises:
        UserError: it is none of these.
    """
    parts = _listed(stride).split(",")
    if len(parts) not in (1, 3) or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise UserError(f"--stride {stride}: give one number of voxels or three, such as 16 or 16,16,4.")
    i, j, k = map(int, parts if len(parts) == 3 else parts * 3)
    return i, j, k


def parse_bytes(size: str | int) -> int:
    """Return the bytes of ``8G``, ``512 MB``, ``1.5GiB`` or a plain number.

    Raises:
        UserError: it is none of these.

    >>> parse_bytes("1.5G")
    1610612736
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", str(size), re.IGNORECASE)
    if not match or float(match[1]) == 0:
        raise UserError(f"--max-memory {size}: give a number with a unit, such as 8G or 500M.")
    return int(float(match[1]) * 1024 ** ("kmgt".find(match[2].lower()) + 1 if match[2] else 0))
