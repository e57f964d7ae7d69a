"""The integrity check: every problem of every case, in one pass over headers and voxels."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.formats import Header, format_of, header_findings
from c2fnas.data.geometry import Geometry
from c2fnas.data.layouts import Reading, read_dataset
from c2fnas.data.parallel import VOLUMES_EACH, Progress, fitting_workers, in_order
from c2fnas.data.problem import CaseError, Finding, Problem
from c2fnas.data.volume import grid_findings, read_header
from c2fnas.data.voxels import image_findings, label_findings, label_integers, storage_findings
from c2fnas.memory import free_memory

NOTICED = 1e-4
"""Difference of a label's affine from its image's, in millimetres, that rounding to float32 doesn't explain."""

__all__ = ["CaseInspection", "Inspection", "Problem", "check_dataset", "inspect_dataset"]


@dataclass(frozen=True)
class CaseInspection:
    """What one pass over a case's files has found.

    ``geometry`` is that of its first image, None where the header is unsound. ``voxels`` counts those of each class by
    index, None without a sound label.
    """

    case: Case
    problems: tuple[Problem, ...]
    geometry: Geometry | None = None
    voxels: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Inspection:
    """A data set and everything wrong with it: ``manifest`` as a whole, ``training`` and ``test`` case by case.

    ``files`` are the manifest's own, where the data set was given by its path.
    """

    dataset: Dataset
    manifest: tuple[Problem, ...]
    training: tuple[CaseInspection, ...]
    test: tuple[CaseInspection, ...]
    files: tuple[Path, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem: of the manifest, of the classes as a whole, then case by case."""
        cases = [problem for each in (*self.training, *self.test) for problem in each.problems]
        return (*self.manifest, *self._absent_classes(), *cases)

    @property
    def present(self) -> dict[str, frozenset[int]]:
        """The class indices that occur in each training case with a sound label."""
        return {
            each.case.id: frozenset(np.flatnonzero(each.voxels).tolist())
            for each in self.training
            if each.voxels is not None
        }

    @property
    def class_cases(self) -> tuple[int, ...]:
        """Training cases that hold each class, by index."""
        present = self.present.values()
        return tuple(sum(index in classes for classes in present) for index in range(len(self.dataset.classes)))

    def _absent_classes(self) -> Iterator[Problem]:
        if not self.present:
            return
        cases = self.class_cases
        shown = ", ".join(f"{each.name} {count}" for each, count in zip(self.dataset.classes, cases, strict=True))
        for index, each in enumerate(self.dataset.classes):
            if index > 0 and cases[index] == 0:
                found = f"no training case with {each.name!r} (cases per class: {shown})"
                mend = "Add cases that hold it, or take the class out of the labels: a network can't learn it."
                yield Problem("", str(self.dataset.root), found, "every class in some case", mend, "warning")


def check_dataset(
    dataset: Dataset | Path, *, workers: int = 1, progress: Progress | None = None
) -> tuple[Problem, ...]:
    """Every problem of a data set: of its cases and, where a path is given, of its manifest too.

    Raises:
        UserError: there is no data set of a known layout at the path, or a package that reads its files is absent.
    """
    return inspect_dataset(dataset, workers=workers, progress=progress).problems


def inspect_dataset(dataset: Dataset | Path, *, workers: int = 1, progress: Progress | None = None) -> Inspection:
    """Read every file of a data set once and list what is wrong.

    Args:
        dataset: a data set, or the path of one, whose manifest is then checked as well.
        workers: cases that are read at the same time; fewer where the memory doesn't hold as many.
        progress: called with the cases done and those there are.

    Raises:
        UserError: as :func:`check_dataset`.
    """
    reading = Reading(dataset, (), ()) if isinstance(dataset, Dataset) else read_dataset(Path(dataset))
    known = reading.dataset
    count, cases = len(known.training), (*known.training, *known.test)
    largest = max(map(_voxels, cases), default=0)
    fitting = fitting_workers(largest * 4 * VOLUMES_EACH, workers, free_memory())
    numbered = list(enumerate(cases))
    found = list(in_order(lambda each: _inspect(each[1], known, each[0] < count), numbered, fitting, progress))
    return Inspection(known, reading.problems, tuple(found[:count]), tuple(found[count:]), reading.files)


def _voxels(case: Case) -> int:
    """Voxels of a case's images by the headers; those that can't be read take no memory."""
    voxels = 0
    for path in case.images:
        with suppress(CaseError):
            header = read_header(path, case.id)
            voxels += 0 if _unsound(header) else header.voxels
    return voxels


def _inspect(case: Case, dataset: Dataset, training: bool) -> CaseInspection:
    problems: list[Problem] = []
    headers = [_header(path, case, problems) for path in case.images]
    for path, header in zip(case.images, headers, strict=True):
        if header is not None:
            _list(_image_findings(header, case, problems), case, path, problems)
    _list(_channel_findings(headers, dataset), case, case.images[0], problems)
    geometry = None if headers[0] is None else _geometry(headers[0])
    for path, header in zip(case.images[1:], headers[1:], strict=True):
        _list(_grid_findings(header, geometry, case), case, path, problems)
    voxels = _inspect_label(case, dataset, geometry, training, problems)
    return CaseInspection(case, tuple(problems), geometry, voxels)


def _inspect_label(
    case: Case, dataset: Dataset, geometry: Geometry | None, training: bool, problems: list[Problem]
) -> tuple[int, ...] | None:
    if case.label is None:
        finding = Finding("no label", "a label for every training case", "Add it, or list the case as a test case.")
        _list([finding] if training else [], case, case.images[0], problems)
        return None
    header = _header(case.label, case, problems)
    if header is None:
        return None
    _list(_grid_findings(header, geometry, case) or _near(header, geometry), case, case.label, problems)
    stored = _stored(header, case, problems)
    if stored is None:
        return None
    findings = label_findings(stored, dataset.classes)
    _list(findings or storage_findings(header.shape, header.dtype), case, case.label, problems)
    return None if findings else _class_voxels(stored, dataset)


def _class_voxels(stored: np.ndarray, dataset: Dataset) -> tuple[int, ...]:
    labels = label_integers(stored)
    counts = np.bincount(labels.ravel(), minlength=max(value for each in dataset.classes for value in each.values) + 1)
    return tuple(int(counts[list(each.values)].sum()) for each in dataset.classes)


def _header(path: Path, case: Case, problems: list[Problem]) -> Header | None:
    """A file's header if it is sound enough to read voxels by; what is wrong with it is listed."""
    try:
        header = read_header(path, case.id)
    except CaseError as error:
        problems.append(error.problem)
        return None
    _list(header_findings(header), case, path, problems)
    return None if _unsound(header) else header


def _unsound(header: Header) -> bool:
    return any(finding.severity == "error" for finding in header_findings(header))


def _stored(header: Header, case: Case, problems: list[Problem]) -> np.ndarray | None:
    try:
        return format_of(header.path).read_voxels(header)
    except CaseError as error:
        problems.append(Problem(case.id, error.file, error.found, error.expected, error.mend))
    except MemoryError:
        mend = "Free some memory, or crop the volume."
        problems.append(Problem(case.id, str(header.path), f"{header.bytes:,} bytes of voxels", "less", mend))
    return None


def _image_findings(header: Header, case: Case, problems: list[Problem]) -> list[Finding]:
    stored = _stored(header, case, problems)
    if stored is None or stored.dtype.kind in "iub":
        return []  # every integer fits into float32's range
    with np.errstate(over="ignore"):
        return image_findings(stored.astype(np.float32, copy=False))


def _channel_findings(headers: Sequence[Header | None], dataset: Dataset) -> list[Finding]:
    known = [header for header in headers if header is not None]
    if len(known) < len(headers):
        return []  # what is missing is listed already
    count, names = sum(prod(header.shape[3:]) for header in known), ", ".join(dataset.channels)
    if count == len(dataset.channels):
        return []
    mend = "Correct the channels in the manifest, or give the image all of them."
    return [Finding(f"{count} channels", f"{len(dataset.channels)} ({names})", mend)]


def _geometry(header: Header) -> Geometry:
    return Geometry.from_array(header.shape[:3], header.affine)


def _grid_findings(header: Header | None, geometry: Geometry | None, case: Case) -> list[Finding]:
    if header is None or geometry is None:
        return []
    return grid_findings(_geometry(header), geometry, case.images[0].name)


def _near(header: Header, geometry: Geometry | None) -> list[Finding]:
    """A label's affine that is the image's but for more than rounding: other programs may have a smaller tolerance."""
    apart = _geometry(header).affine_difference(geometry) if geometry else 0.0
    if apart <= NOTICED:
        return []
    mend = "It counts as the same. `c2fnas check DATASET --fix DIR` writes a copy with the image's affine."
    return [Finding(f"an affine {apart:.2g} mm off that of the image", "the image's affine", mend, "warning")]


def _list(findings: Sequence[Finding], case: Case, path: Path, problems: list[Problem]) -> None:
    problems += [Problem.of(finding, case.id, path) for finding in findings]
