"""What a data set looks like: sizes, spacings, intensities and class volumes of every case, and a hash of its files."""

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.restoration import orient, orientation
from c2fnas.data.volume import read_image, read_label
from c2fnas.files import sha256

SAMPLES_PER_CASE = 10_000


class Frozen(BaseModel):
    """A frozen value that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CaseFingerprint(Frozen):
    """One case, in the closest canonical (RAS+) order of axes. ``voxels`` counts each class."""

    id: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    voxels: tuple[int, ...]
    sha256: str
    files: tuple[tuple[str, int, int], ...]
    """Name, bytes and time of change of each file: an unchanged file is not read again."""


class ChannelFingerprint(Frozen):
    """Intensities of a channel in the training foreground: 0.5 and 99.5 percentiles, mean and standard deviation."""

    name: str
    kind: Literal["ct", "mr"]
    low: float
    high: float
    mean: float
    std: float


class ClassFingerprint(Frozen):
    """A class and its values in label files."""

    name: str
    values: tuple[int, ...]


class Fingerprint(Frozen):
    """The whole data set."""

    name: str
    channels: tuple[ChannelFingerprint, ...]
    classes: tuple[ClassFingerprint, ...]
    cases: tuple[CaseFingerprint, ...]

    def describes(self, dataset: Dataset) -> bool:
        """Whether ``dataset`` is the one that was read: the same cases, classes and file contents.

        A file whose size and time of change are as they were is taken as unchanged; any other is hashed.
        """
        known = {case.id: case for case in self.cases}
        return (
            [case.id for case in self.cases] == [case.id for case in dataset.training]
            and [each.values for each in self.classes] == [each.values for each in dataset.classes]
            and all(_unchanged(case, known[case.id]) for case in dataset.training)
        )


def fingerprint_dataset(
    dataset: Dataset, *, workers: int = 1, progress: Callable[[int, int], None] = lambda done, total: None
) -> Fingerprint:
    """Read every training case once.

    Raises:
        CaseError: a case can't be read.
    """
    cases, samples = [], []
    with ThreadPoolExecutor(workers) as pool:
        for done, (case, sample) in enumerate(pool.map(lambda each: _read(each, dataset), dataset.training), start=1):
            cases.append(case)
            samples.append(sample)
            progress(done, len(dataset.training))
    return Fingerprint(
        name=dataset.name, channels=_channels(dataset.channels, np.concatenate(samples, axis=1)),
        classes=tuple(ClassFingerprint(name=each.name, values=each.values) for each in dataset.classes), cases=tuple(cases),
    )  # fmt: skip


def content_hash(case: Case) -> str:
    """The SHA-256 of the contents of a case's files."""
    return hashlib.sha256("".join(sha256(file) for file in _files(case)).encode()).hexdigest()


def _read(case: Case, dataset: Dataset) -> tuple[CaseFingerprint, np.ndarray]:
    assert case.label is not None
    image = read_image(case.images, case.id)
    label, _ = read_label(case.label, dataset.classes, case.id)
    order, _ = orientation(image.geometry.matrix, (0, 1, 2))
    i, j, k = order
    found = CaseFingerprint(
        id=case.id, shape=tuple(image.geometry.shape[axis] for axis in order),
        spacing=(image.geometry.spacing[i], image.geometry.spacing[j], image.geometry.spacing[k]),
        voxels=tuple(np.bincount(label.ravel(), minlength=len(dataset.classes)).tolist()),
        sha256=content_hash(case), files=_stamps(case),
    )  # fmt: skip
    return found, _foreground_sample(image.array, label)


def _foreground_sample(image: np.ndarray, label: np.ndarray) -> np.ndarray:
    """At most :data:`SAMPLES_PER_CASE` foreground voxels at even distances, ``[channels, n]``; all voxels where none is."""
    inside = np.flatnonzero(label)
    chosen = inside if len(inside) else np.arange(label.size)
    step = max(1, len(chosen) // SAMPLES_PER_CASE)
    return image.reshape(len(image), -1)[:, chosen[::step]]


def _channels(names: tuple[str, ...], samples: np.ndarray) -> tuple[ChannelFingerprint, ...]:
    return tuple(
        ChannelFingerprint(
            name=name, kind="ct" if re.fullmatch(r"ct|cta|cbct|computed tomography", name.strip().lower()) else "mr",
            low=float(np.percentile(values, 0.5)), high=float(np.percentile(values, 99.5)),
            mean=float(values.mean(dtype=np.float64)), std=float(values.std(dtype=np.float64)),
        )
        for name, values in zip(names, samples, strict=True)
    )  # fmt: skip


def _files(case: Case) -> tuple[Path, ...]:
    return (*case.images, *((case.label,) if case.label else ()))


def _stamps(case: Case) -> tuple[tuple[str, int, int], ...]:
    return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in _files(case))


def _unchanged(case: Case, known: CaseFingerprint) -> bool:
    try:
        return _stamps(case) == known.files or content_hash(case) == known.sha256
    except OSError:
        return False
