"""The fingerprint of a data set: sizes, spacings and class volumes of every case, and hashes of its files."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import ValidationError

from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.formats import volume_files
from c2fnas.data.scheme import LabelClass, LabelScheme
from c2fnas.errors import UserError, refuse_exhaustion
from c2fnas.files import read_json, sha256
from c2fnas.frozen import Frozen
from c2fnas.shapes import Size, Spacing

CT_NAME = re.compile(
    r"(?<![a-z])((nc|ce|cb|hr|ld|de|c)?ct(a|pa|ac)?|hu)(?![a-z])|hounsfield|computed tomography"  # not CTP: its maps
)


class CaseFingerprint(Frozen):
    """A case, along canonical axes (right, anterior, superior). ``voxels`` counts those of each class.

    ``nonzero_shape`` is the size of the box that holds all voxels other than zero. ``files`` has name, bytes and time
    of change of each file: those of an unchanged file are enough to know it by. Where the spacing was stated,
    ``stated`` has it along the file's own axes, and ``header`` what the file says instead.
    """

    id: str
    shape: Size
    nonzero_shape: Size
    spacing: tuple[float, float, float]
    voxels: tuple[int, ...]
    sha256: str
    files: tuple[tuple[str, int, int], ...]
    stated: Spacing | None = None
    header: Spacing | None = None


class ChannelFingerprint(Frozen):
    """A channel over the foreground of all training cases: 0.5 and 99.5 percentiles, mean and standard deviation."""

    name: str
    kind: Literal["ct", "mr"]
    low: float
    high: float
    mean: float
    std: float


class ClassFingerprint(Frozen):
    """A class, its values in label files and the number of training cases that have it."""

    name: str
    values: tuple[int, ...]
    cases: int


class Fingerprint(Frozen):
    """The training cases of a data set. ``folder`` is the name of the folder it lay in.

    ``regions_class_order`` and ``ignore`` are those of :class:`c2fnas.data.dataset.Dataset`.
    """

    name: str
    folder: str
    channels: tuple[ChannelFingerprint, ...]
    classes: tuple[ClassFingerprint, ...]
    cases: tuple[CaseFingerprint, ...]
    regions_class_order: tuple[int, ...] | None = None
    ignore: int | None = None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a fingerprint.

        Raises:
            UserError: it can't be read, or is of another version.
        """
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            raise UserError(
                f"{path}: not a fingerprint of this version of c2fnas. Delete it to have the data set read again."
            ) from error

    @property
    def scheme(self) -> LabelScheme:
        """The labels of files, of networks and of predictions."""
        classes = tuple(LabelClass(each.name, each.values) for each in self.classes)
        return LabelScheme(classes, self.regions_class_order, self.ignore)

    @property
    def nonzero_share(self) -> float:
        """The median share of a volume that lies in the box of its non-zero voxels."""
        return float(np.median([np.prod(case.nonzero_shape) / np.prod(case.shape) for case in self.cases]))

    @property
    def stated_headers(self) -> tuple[Spacing, ...]:
        """The spacings in headers, in ascending order of axes, in place of which others were stated."""
        return tuple(sorted({alike(case.header) for case in self.cases if case.header}))

    @property
    def contents(self) -> str:
        """A SHA-256 of what was read, wherever and whenever: cases with their files' contents, channels, label values.

        Statistics are left out: another version may round them differently.
        """
        read: list[Any] = [
            [[case.id, case.sha256, *([case.stated] if case.stated else [])] for case in self.cases],
            [channel.name for channel in self.channels],
            [list(each.values) for each in self.classes],
        ]
        if (self.regions_class_order, self.ignore) != (None, None):
            read.append([self.regions_class_order, self.ignore])
        return hashlib.sha256(json.dumps(read).encode()).hexdigest()

    @property
    def hashes(self) -> dict[str, str]:
        """The hash of each case's files, see :func:`content_hash`, by its id."""
        return {case.id: case.sha256 for case in self.cases}

    @property
    def signatures(self) -> tuple[str, ...]:
        """A hash of each case's size and structures' volumes, by which it is known in whatever file it comes."""
        known = [[sorted(case.shape), sorted(case.voxels[1:])] for case in self.cases]
        return tuple(hashlib.sha256(json.dumps(each).encode()).hexdigest()[:12] for each in known)

    def describes(self, dataset: Dataset) -> bool:
        """True if ``dataset`` is the one that was read: the same cases, channels, label values and file contents.

        A file whose name, size and time of change are as they were counts as unchanged; any other is hashed.
        """
        return (
            tuple(case.id for case in self.cases) == tuple(case.id for case in dataset.training)
            and self._has(dataset.channels)
            and [each.values for each in self.classes] == [each.values for each in dataset.classes]
            and (self.regions_class_order, self.ignore) == (dataset.regions_class_order, dataset.ignore)
            and all(_unchanged(case, known) for case, known in zip(dataset.training, self.cases, strict=True))
        )

    def _has(self, channels: tuple[str, ...]) -> bool:
        """True if these are the channels; a series of CT had no name of its own before it was asked for its kind."""
        names = tuple(channel.name for channel in self.channels)
        return names in (channels, tuple(name.removesuffix(" (CT)") for name in channels))


def alike(spacing: Spacing) -> Spacing:
    """Return a spacing as it compares with that of another file: whatever the order of axes, to a thousandth.

    >>> alike((1.00002, 0.5, 3.0))
    (0.5, 1.0, 3.0)
    """
    i, j, k = sorted(round(mm, 3) for mm in spacing)
    return i, j, k


def content_hash(case: Case) -> str:
    """Return the SHA-256 of the contents of a case's files, in their order."""
    return hashlib.sha256(
        "".join(sha256(file) for path in case.files for file in volume_files(path)).encode()
    ).hexdigest()


def channel_kind(name: str) -> Literal["ct", "mr"]:
    """Return ``ct`` for Hounsfield units, told by the channel's name; anything else is standardised like MR.

    >>> [channel_kind(name) for name in ("CT", "ceCT", "CT venous", "T1ct", "cine-MRI", "ADC")]
    ['ct', 'ct', 'ct', 'mr', 'mr', 'mr']
    >>> [channel_kind(name) for name in ("NCCT", "HRCT", "CTPA", "CCTA", "HU", "CTP CBF", "hump", "DCE")]
    ['ct', 'ct', 'ct', 'ct', 'ct', 'mr', 'mr', 'mr']
    """
    return "ct" if CT_NAME.search(name.lower()) and not re.match(r"t[12]", name.lower()) else "mr"


def stamps(case: Case) -> tuple[tuple[str, int, int], ...]:
    """Return name, bytes and time of change of a case's files; of a folder of slices, whose names may tell, in all."""
    found = []
    for path in case.files:
        known = [file.stat() for file in volume_files(path)]
        changed = max((each.st_mtime_ns for each in known), default=0)  # a folder may be empty
        found.append((path.name, sum(each.st_size for each in known), changed))
    return tuple(found)


def _unchanged(case: Case, known: CaseFingerprint) -> bool:
    try:
        same = stamps(case) == known.files or content_hash(case) == known.sha256
        return same and case.spacing == known.stated
    except FileNotFoundError:
        return False
    except OSError as error:
        refuse_exhaustion(error.filename, error)
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}). Make it readable for you.") from error
