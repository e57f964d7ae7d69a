"""What a data set looks like: sizes, spacings, intensities and class volumes of every case, and hashes of its files."""

import hashlib
import json
import re
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, ValidationError

from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.parallel import Progress, bounded_workers, in_order
from c2fnas.data.restoration import Restoration
from c2fnas.data.volume import read_image, read_label
from c2fnas.errors import UserError
from c2fnas.files import read_json, sha256
from c2fnas.shapes import Size

SAMPLES_PER_CASE = 10_000
"""Foreground voxels of a case that enter a channel's statistics."""

SLAB_VOXELS = 1 << 18
"""Voxels whose moments are computed at a time: they fit a processor's cache as doubles."""

CT_NAME = re.compile(r"(?<![a-z])(ce|cb)?cta?(?![a-z])|computed tomography")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IntensityFingerprint(_Frozen):
    """A channel's values over one whole volume."""

    mean: float
    std: float
    low: float
    high: float


class CaseFingerprint(_Frozen):
    """A case, along canonical axes (right, anterior, superior). ``voxels`` counts those of each class.

    ``nonzero_shape`` is the size of the box that holds all voxels other than zero. ``files`` has name, bytes and time
    of change of each file: those of an unchanged file are enough to know it by.
    """

    id: str
    shape: Size
    nonzero_shape: Size
    spacing: tuple[float, float, float]
    voxels: tuple[int, ...]
    intensities: tuple[IntensityFingerprint, ...]
    sha256: str
    files: tuple[tuple[str, int, int], ...]


class ChannelFingerprint(_Frozen):
    """A channel over the foreground of all training cases: 0.5 and 99.5 percentiles, mean and standard deviation."""

    name: str
    kind: Literal["ct", "mr"]
    low: float
    high: float
    mean: float
    std: float


class ClassFingerprint(_Frozen):
    """A class, its values in label files and the number of training cases that have it."""

    name: str
    values: tuple[int, ...]
    cases: int


class Fingerprint(_Frozen):
    """The training cases of a data set. ``folder`` is the name of the folder it lay in."""

    name: str
    folder: str
    channels: tuple[ChannelFingerprint, ...]
    classes: tuple[ClassFingerprint, ...]
    cases: tuple[CaseFingerprint, ...]

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
    def nonzero_share(self) -> float:
        """The median share of a volume that lies in the box of its non-zero voxels."""
        return float(np.median([np.prod(case.nonzero_shape) / np.prod(case.shape) for case in self.cases]))

    @property
    def contents(self) -> str:
        """A SHA-256 of what was read, wherever and whenever: cases with their files' contents, channels, label values.

        Statistics are left out: another version may round them differently.
        """
        read = [
            [[case.id, case.sha256] for case in self.cases],
            [channel.name for channel in self.channels],
            [list(each.values) for each in self.classes],
        ]
        return hashlib.sha256(json.dumps(read).encode()).hexdigest()

    def describes(self, dataset: Dataset) -> bool:
        """Whether ``dataset`` is the one that was read: the same cases, channels, label values and file contents.

        A file whose name, size and time of change are as they were counts as unchanged; any other is hashed.
        """
        return (
            tuple(case.id for case in self.cases) == tuple(case.id for case in dataset.training)
            and tuple(channel.name for channel in self.channels) == dataset.channels
            and [each.values for each in self.classes] == [each.values for each in dataset.classes]
            and all(_unchanged(case, known) for case, known in zip(dataset.training, self.cases, strict=True))
        )


def fingerprint_dataset(dataset: Dataset, *, workers: int = 1, progress: Progress | None = None) -> Fingerprint:
    """Read every training case once.

    Raises:
        CaseError: a case can't be read.
    """
    workers = bounded_workers(dataset.training, workers)
    found = list(in_order(lambda case: _read(case, dataset), dataset.training, workers, progress))
    cases = tuple(case for case, _ in found)
    return Fingerprint(
        name=dataset.name,
        folder=dataset.root.resolve().name,
        cases=cases,
        channels=_channels(dataset.channels, np.concatenate([sample for _, sample in found], axis=1)),
        classes=tuple(
            ClassFingerprint(name=each.name, values=each.values, cases=sum(case.voxels[index] > 0 for case in cases))
            for index, each in enumerate(dataset.classes)
        ),
    )


def content_hash(case: Case) -> str:
    """The SHA-256 of the contents of a case's files, in their order."""
    return hashlib.sha256("".join(sha256(path) for path in case.files).encode()).hexdigest()


def channel_kind(name: str) -> Literal["ct", "mr"]:
    """Whether a channel's values are Hounsfield units, by its name; anything else is standardised like MR.

    >>> [channel_kind(name) for name in ("CT", "ceCT", "CT venous", "T1ct", "cine-MRI", "ADC")]
    ['ct', 'ct', 'ct', 'mr', 'mr', 'mr']
    """
    return "ct" if CT_NAME.search(name.lower()) and not re.match(r"t[12]", name.lower()) else "mr"


def nonzero_box(image: np.ndarray) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """First and last + 1 of the voxels ``[c, i, j, k]`` that are not zero in some channel, per axis; else the whole."""
    filled = np.zeros(image.shape[1:], dtype=bool)
    for channel in image:
        filled |= channel != 0
    i, j, k = (_extent(np.any(filled, axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
    return i, j, k


def _extent(occupied: ArrayLike) -> tuple[int, int]:
    places = np.flatnonzero(occupied)
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, np.size(occupied))


def _read(case: Case, dataset: Dataset) -> tuple[CaseFingerprint, np.ndarray]:
    image = read_image(case.images, case.id)
    label = np.zeros(0, np.uint8) if case.label is None else read_label(case.label, dataset.classes, case.id)[0]
    way = Restoration.to_axes(image.geometry)
    box = nonzero_box(way.view(image.array))
    found = CaseFingerprint(
        id=case.id,
        shape=way.shape,
        nonzero_shape=way.cropped(box).shape,
        spacing=way.spacing,
        voxels=_class_voxels(label, len(dataset.classes)),
        intensities=tuple(_intensities(channel) for channel in image.array),
        sha256=content_hash(case),
        files=_stamps(case),
    )
    return found, _foreground_sample(image.array, label)


def _class_voxels(label: np.ndarray, classes: int) -> tuple[int, ...]:
    """Voxels of each class, plane by plane: counting turns what it counts into integers of eight bytes."""
    counts = sum((np.bincount(plane.ravel(), minlength=classes) for plane in label), np.zeros(classes, np.int64))
    return tuple(counts.tolist())


def _intensities(channel: np.ndarray) -> IntensityFingerprint:
    mean, std = moments(channel)
    return IntensityFingerprint(mean=mean, std=std, low=float(channel.min()), high=float(channel.max()))


def moments(array: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation in double precision, some planes at a time so that no second volume is needed."""
    step = max(1, SLAB_VOXELS // max(1, array[0].size))
    slabs = [array[start : start + step] for start in range(0, len(array), step)]
    mean = sum(float(slab.sum(dtype=np.float64)) for slab in slabs) / array.size
    squares = sum(float(np.square(slab - np.float64(mean)).sum()) for slab in slabs)
    return mean, float(np.sqrt(squares / array.size))


def _foreground_sample(image: np.ndarray, label: np.ndarray) -> np.ndarray:
    """At most :data:`SAMPLES_PER_CASE` foreground voxels at even distances, ``[channels, n]``."""
    inside = np.flatnonzero(label)
    chosen = inside[:: max(1, -(-len(inside) // SAMPLES_PER_CASE))]
    return image.reshape(len(image), -1)[:, chosen]


def _channels(names: tuple[str, ...], samples: np.ndarray) -> tuple[ChannelFingerprint, ...]:
    values = samples if samples.shape[1] else np.zeros((len(names), 1))
    low, high = np.percentile(values, [0.5, 99.5], axis=1)
    mean, std = values.mean(axis=1, dtype=np.float64), values.std(axis=1, dtype=np.float64)
    return tuple(
        ChannelFingerprint(name=name, kind=channel_kind(name), low=low[c], high=high[c], mean=mean[c], std=std[c])
        for c, name in enumerate(names)
    )


def _stamps(case: Case) -> tuple[tuple[str, int, int], ...]:
    return tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in case.files)


def _unchanged(case: Case, known: CaseFingerprint) -> bool:
    try:
        return _stamps(case) == known.files or content_hash(case) == known.sha256
    except OSError:
        return False
