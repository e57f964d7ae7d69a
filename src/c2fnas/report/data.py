"""The data of a run as a report shows it: shapes, spacings and classes, and the warnings of its check."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from c2fnas.data.fingerprint import Fingerprint
from c2fnas.data.plausibility import class_volumes, implausible
from c2fnas.data.problem import Problem
from c2fnas.files import read_json
from c2fnas.runs.folder import RunFolder


@dataclass(frozen=True)
class Range:
    """The smallest, middle and largest of some numbers."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the range of one number at least."""
        return cls(float(np.min(values)), float(np.median(values)), float(np.max(values)))


@dataclass(frozen=True)
class ClassSize:
    """A foreground class: how many training cases have it, and its volume in those, in millilitres."""

    name: str
    cases: int
    volume: Range | None


@dataclass(frozen=True)
class ProblemGroup:
    """Files with the same finding."""

    problem: Problem
    files: tuple[str, ...]


@dataclass(frozen=True)
class DataSummary:
    """A data set: its fingerprint, and sizes (voxels) and spacings (mm) along right, anterior, superior.

    ``implausible`` are sentences on what can hardly be true of it.
    """

    fingerprint: Fingerprint
    shape: tuple[Range, ...]
    spacing: tuple[Range, ...]
    classes: tuple[ClassSize, ...]
    implausible: tuple[str, ...]


def summarise_data(folder: RunFolder) -> DataSummary | None:
    """Return what the data set's fingerprint tells; None before it is there."""
    if not folder.fingerprint.exists():
        return None
    found = Fingerprint.load(folder.fingerprint)
    shapes = zip(*(case.shape for case in found.cases), strict=True)
    spacings = zip(*(case.spacing for case in found.cases), strict=True)
    return DataSummary(
        found,
        tuple(map(Range.of, shapes)),
        tuple(map(Range.of, spacings)),
        tuple(_class_size(found, index) for index in range(1, len(found.classes))),
        implausible(found),
    )


def _class_size(found: Fingerprint, index: int) -> ClassSize:
    volumes = [*class_volumes(found, index).values()]
    about = found.classes[index]
    return ClassSize(about.name, about.cases, Range.of(volumes) if volumes else None)


def read_problems(folder: RunFolder) -> tuple[ProblemGroup, ...]:
    """Return the warnings of the data set's check and of its folds, equal ones together, the most frequent first."""
    if not folder.check.exists():
        return ()
    groups: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in (Problem(**each) for each in read_json(folder.check)["problems"]):
        groups.setdefault((problem.found, problem.expected, problem.fix), []).append(problem)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return tuple(ProblemGroup(group[0], tuple(Path(each.file).name for each in group)) for group in ordered)
