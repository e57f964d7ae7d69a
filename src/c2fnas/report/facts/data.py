"""The data of a run as a report needs it: what the data set looks like, and what its check warned of."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c2fnas.data.fingerprint import Fingerprint
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
    def of(cls, values: Sequence[float]) -> "Range":
        """Of one number at least."""
        return cls(float(np.min(values)), float(np.median(values)), float(np.max(values)))


@dataclass(frozen=True)
class ClassSize:
    """A foreground class: training cases that have it, and its volume in those, in millilitres."""

    name: str
    cases: int
    volume: Range | None


@dataclass(frozen=True)
class ProblemGroup:
    """The same finding on any number of files."""

    problem: Problem
    files: tuple[str, ...]


@dataclass(frozen=True)
class DataFacts:
    """A data set: its fingerprint, and sizes (voxels) and spacings (mm) along right, anterior, superior."""

    fingerprint: Fingerprint
    shape: tuple[Range, ...]
    spacing: tuple[Range, ...]
    classes: tuple[ClassSize, ...]


def read_data(folder: RunFolder) -> DataFacts | None:
    """The data set's fingerprint, summarised; None before it is there."""
    if not folder.fingerprint.exists():
        return None
    found = Fingerprint.model_validate(read_json(folder.fingerprint))
    axes = range(3)
    return DataFacts(
        found,
        tuple(Range.of([case.shape[axis] for case in found.cases]) for axis in axes),
        tuple(Range.of([case.spacing[axis] for case in found.cases]) for axis in axes),
        tuple(_class_size(found, index) for index in range(1, len(found.classes))),
    )


def _class_size(found: Fingerprint, index: int) -> ClassSize:
    volumes = [case.voxels[index] * float(np.prod(case.spacing)) / 1000 for case in found.cases if case.voxels[index]]
    about = found.classes[index]
    return ClassSize(about.name, about.cases, Range.of(volumes) if volumes else None)


def read_problems(folder: RunFolder) -> tuple[ProblemGroup, ...]:
    """The warnings of the data set's check and of its folds, equal ones together, the most frequent first."""
    if not folder.check.exists():
        return ()
    problems = [Problem(**problem) for problem in read_json(folder.check)["problems"]]
    groups: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.found, problem.expected, problem.fix), []).append(problem)
    sizes = Counter({key: len(group) for key, group in groups.items()})
    return tuple(
        ProblemGroup(groups[key][0], tuple(Path(each.file).name for each in groups[key]))
        for key, _ in sizes.most_common()
    )
