"""One pass over a data set: every file is read once, for every problem of every case and for the fingerprint."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.fingerprint import (
    CaseFingerprint,
    ChannelFingerprint,
    ClassFingerprint,
    Fingerprint,
    channel_kind,
    content_hash,
    stamps,
)
from c2fnas.data.formats import Header, format_of, header_findings
from c2fnas.data.geometry import Geometry, Turn
from c2fnas.data.layouts import Reading, read_dataset
from c2fnas.data.normalisation import foreground_places, statistics
from c2fnas.data.parallel import Progress, bounded_workers, in_order
from c2fnas.data.problem import CaseError, Finding, Problem
from c2fnas.data.restoration import Restoration, box_of
from c2fnas.data.volume import grid_finding, read_header
from c2fnas.data.voxels import class_lookup, image_findings, label_findings, label_integers, storage_findings
from c2fnas.errors import refuse_exhaustion
from c2fnas.shapes import Size, Spacing
from c2fnas.space.geometry import by
from c2fnas.text import some

NOTICED = 1e-4
"""Difference of a label's affine from its image's, in millimetres, that rounding to float32 doesn't explain."""


PLANE, FLAT, WIDE = 64, 3, 500
"""A plane of so many voxels a side is a scanner's: with a third of them through it, or if it is as wide, 1 mm isn't
believed."""

SHOWN_CLASSES = 5


@dataclass(frozen=True)
class CaseScan:
    """The result of one pass over a case's files.

    Attributes:
        case: the case.
        problems: everything wrong with its files.
        geometry: that of its first image, None where the header is unsound.
        voxels: of each class or region by index, None without a sound label.
        values: that its label holds.
        fingerprint: of a training case without errors, else None.
        sample: foreground voxels of it, ``[channels, n]``, at even distances.
    """

    case: Case
    problems: tuple[Problem, ...]
    geometry: Geometry | None = None
    voxels: tuple[int, ...] | None = None
    values: frozenset[int] = frozenset()
    fingerprint: CaseFingerprint | None = None
    sample: np.ndarray | None = None


@dataclass(frozen=True)
class Scan:
    """A data set and everything wrong with it: ``manifest`` as a whole, ``training`` and ``test`` case by case.

    ``files`` are the manifest's own, where the data set was given by its path.
    """

    dataset: Dataset
    manifest: tuple[Problem, ...]
    training: tuple[CaseScan, ...]
    test: tuple[CaseScan, ...]
    files: tuple[Path, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem: of the manifest, of the classes as a whole, then case by case."""
        cases = [problem for each in (*self.training, *self.test) for problem in each.problems]
        return (*self.manifest, *self._absent_classes(), *self._lost_spacing(), *cases)

    @property
    def present(self) -> dict[str, frozenset[int]]:
        """The class indices that occur in each training case with a sound label."""
        labelled = [(each.case.id, each.voxels) for each in self.training if each.voxels is not None]
        return {case: frozenset(np.flatnonzero(voxels).tolist()) for case, voxels in labelled}

    @property
    def class_cases(self) -> tuple[int, ...]:
        """Training cases that hold each class, by index."""
        present = self.present.values()
        return tuple(sum(index in classes for classes in present) for index in range(len(self.dataset.classes)))

    @property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of the training cases.

        Raises:
            CaseError: one of them has an error.
        """
        for problem in (problem for each in self.training for problem in each.problems):
            if problem.severity == "error":
                raise CaseError(problem.case, problem.file, problem.found, problem.expected, problem.fix)
        dataset, cases = self.dataset, tuple(each.fingerprint for each in self.training if each.fingerprint)
        found = statistics((each.sample for each in self.training if each.sample is not None), len(dataset.channels))
        return Fingerprint(
            name=dataset.name,
            folder=dataset.root.resolve().name,
            cases=cases,
            channels=tuple(
                ChannelFingerprint(name=name, kind=channel_kind(name), **own._asdict())
                for name, own in zip(dataset.channels, found, strict=True)
            ),
            classes=tuple(
                ClassFingerprint(name=each.name, values=each.values, cases=sum(case.voxels[n] > 0 for case in cases))
                for n, each in enumerate(dataset.classes)
            ),
            regions_class_order=dataset.regions_class_order,
            ignore=dataset.ignore,
        )

    def _absent_classes(self) -> Iterator[Problem]:
        counts = list(zip(self.dataset.classes, self.class_cases, strict=True))[1:]
        absent = [repr(each.name) for each, count in counts if not count]
        if self.present and absent:
            shown = some([f"{each.name} {count}" for each, count in counts], SHOWN_CLASSES)
            found = f"no training case with {some(absent, SHOWN_CLASSES)} (cases per class: {shown})"
            fix = "Add cases that hold it, or take the class out of the labels: a network can't learn it."
            yield Problem("", str(self.dataset.root), found, "every class in some case", fix, "warning")
        if self.present and self.dataset.regions_class_order is not None:
            yield from self._absent_values()

    def _absent_values(self) -> Iterator[Problem]:
        """A warning of values in regions that no training case has, though it has others of them."""
        held = frozenset().union(*(each.values for each in self.training))
        present = [each for each in self.dataset.classes[1:] if held & {*each.values}]
        lacking = {value for each in present for value in each.values} - held
        if lacking:
            regions = ", ".join(each.name for each in present if lacking & {*each.values})
            found = f"no training case with label {', '.join(map(str, sorted(lacking)))}, of the regions: {regions}"
            fix = "Take it out of the regions, unless cases to come have it; or add cases that hold it."
            yield Problem("", str(self.dataset.root), found, "every label of a region in some case", fix, "warning")

    def _lost_spacing(self) -> Iterator[Problem]:
        """Grids of which the spacing of 1 mm can hardly be true: flat ones, and wide ones."""
        grids = [each.geometry for each in (*self.training, *self.test) if each.geometry and not each.case.spacing]
        lost = [grid.shape for grid in grids if np.allclose(grid.spacing, 1, atol=1e-6) and _is_unlike_1_mm(grid.shape)]
        if lost:
            number = f"{len(lost)} of {len(grids)} images"
            found = f"a spacing of exactly 1 mm along every axis in {number}, such as one of {by(lost[0])}"
            fix = (
                "It looks lost, which would spoil resampling, patches and distances. State the true one by `--spacing "
                "I,J,K` in mm (each command takes it) or a column `spacing` in a CSV; files stay as they are."
            )
            yield Problem("", str(self.dataset.root), found, "the scanner's spacing", fix, "warning")


def _is_unlike_1_mm(shape: Size) -> bool:
    """True for slices far fewer than they are wide, and for a plane of half a metre."""
    few, middle, many = sorted(shape)
    return (middle >= PLANE and many > FLAT * few) or middle >= WIDE


def scan_dataset(
    dataset: Dataset | Path, *, spacing: Spacing | None = None, workers: int = 1, progress: Progress | None = None
) -> Scan:
    """Read every file of a data set once.

    Args:
        dataset: a data set, or the path of one, whose manifest is then checked as well.
        spacing: the true one, where the headers have lost it.
        workers: cases that are read at the same time; fewer where the memory doesn't hold as many.
        progress: called with the cases done and those there are.

    Raises:
        UserError: there is no data set of a known layout at the path, a package that reads its files is absent, or the
            system has run out of a resource.
    """
    reading = Reading(dataset, (), ()) if isinstance(dataset, Dataset) else read_dataset(Path(dataset))
    known = reading.dataset.with_spacing(spacing)
    count, cases = len(known.training), (*known.training, *known.test)
    fitting = bounded_workers(cases, workers, _voxels)
    scans = [_CaseScan(case, known, number < count) for number, case in enumerate(cases)]
    found = list(in_order(_CaseScan.run, scans, fitting, progress))
    return Scan(known, reading.problems, tuple(found[:count]), tuple(found[count:]), reading.files)


def _voxels(case: Case) -> int:
    """Voxels of a case's images by the headers; those that can't be read take no memory."""
    voxels = 0
    for path in case.images:
        with suppress(CaseError):
            header = read_header(path, case.id)
            voxels += 0 if _unsound(header) else header.voxels
    return voxels


@dataclass
class _CaseScan:
    """The scan of one case under way: its problems so far, and the voxels that aren't zero in some channel."""

    case: Case
    dataset: Dataset
    training: bool
    problems: list[Problem] = field(default_factory=list)
    filled: np.ndarray | None = None
    places: np.ndarray | None = None
    samples: list[np.ndarray] = field(default_factory=list)

    def run(self) -> CaseScan:
        case = self.case
        headers = [self._header(path) for path in case.images]
        geometry = None if headers[0] is None else _geometry(headers[0])
        turns = [None if header is None or geometry is None else _turn(header, geometry) for header in headers]
        before, self.problems = self.problems, []
        counts = self._label(geometry)
        of_label, self.problems = self.problems, before
        for path, header, turn in zip(case.images, headers, turns, strict=True):
            if header is not None:
                self._list(self._image_findings(header, turn or Turn()), path)
        self._list(_channel_findings(headers, self.dataset), case.images[0])
        for path, header, turn in zip(case.images[1:], headers[1:], turns[1:], strict=True):
            self._list(self._grid_findings(header, geometry, turn), path)
        self.problems += of_label
        sound = self.training and not any(problem.severity == "error" for problem in self.problems)
        voxels = None if counts is None else self.dataset.scheme.sums(counts)
        values = frozenset(
            part.values[0] for part, n in zip(self.dataset.scheme.parts, counts or (), strict=False) if n
        )
        if not sound or geometry is None or voxels is None or self.filled is None:
            return CaseScan(case, tuple(self.problems), geometry, voxels, values)
        way = Restoration.to_axes(geometry.with_spacing(case.spacing))
        fingerprint = CaseFingerprint(
            id=case.id,
            shape=way.shape,
            nonzero_shape=way.cropped(box_of(way.view(self.filled))).shape,
            spacing=way.spacing,
            voxels=voxels,
            sha256=content_hash(case),
            files=stamps(case),
            stated=case.spacing,
            header=geometry.spacing if case.spacing else None,
        )
        return CaseScan(case, tuple(self.problems), geometry, voxels, values, fingerprint, np.stack(self.samples))

    def _label(self, geometry: Geometry | None) -> tuple[int, ...] | None:
        """Voxels of each part of the labels; None where there is no sound label."""
        path = self.case.label
        if path is None:
            finding = Finding("no label", "a label for every training case", "Add it, or list the case as a test case.")
            self._list([finding] if self.training else [], self.case.images[0])
            return None
        header = self._header(path)
        if header is None:
            return None
        turn = None if geometry is None else _turn(header, geometry)
        self._list(self._grid_findings(header, geometry, turn) or _near(header, geometry, turn), path)
        stored = self._stored(header)
        if stored is None:
            return None
        scheme = self.dataset.scheme
        findings = label_findings(stored, scheme.parts, header.scaling)
        self._list(findings or storage_findings(header.shape, header.dtype, header.scaling), path)
        if findings:
            return None
        integers = (turn or Turn()).array(label_integers(stored.reshape(stored.shape[:3])))
        indices = class_lookup(scheme.parts)[integers].T
        self.places = foreground_places(indices, scheme.ignored)
        # Plane by plane, since counting makes integers of eight bytes.
        counts = [np.bincount(plane.ravel(), minlength=len(scheme.parts)) for plane in indices]
        return tuple(np.sum(counts, axis=0).tolist())

    def _header(self, path: Path) -> Header | None:
        """A file's header if it is sound enough to read voxels by."""
        try:
            header = read_header(path, self.case.id)
        except CaseError as error:
            self.problems.append(error.problem)
            return None
        self._list(header_findings(header), path)
        return None if _unsound(header) else header

    def _stored(self, header: Header) -> np.ndarray | None:
        try:
            return format_of(header.path).read_voxels(header)
        except CaseError as error:
            self.problems.append(Problem(self.case.id, error.file, error.found, error.expected, error.fix))
        except MemoryError as error:
            refuse_exhaustion(header.path, error)
        return None

    def _image_findings(self, header: Header, turn: Turn) -> list[Finding]:
        stored = self._stored(header)
        if stored is None:
            return []
        if self.training:
            self._look(turn.array(stored.reshape((*stored.shape[:3], -1))))
        if stored.dtype.kind in "iub":
            return []  # every integer fits into float32's range
        with np.errstate(over="ignore"):
            return image_findings(stored.astype(np.float32, copy=False))

    def _look(self, channels: np.ndarray) -> None:
        """Note the voxels other than zero and the foreground's values of each channel ``[i, j, k, channels]``."""
        for channel in np.moveaxis(channels, -1, 0):
            if self.filled is None or self.filled.shape == channel.shape:
                self.filled = channel != 0 if self.filled is None else self.filled | (channel != 0)
            if self.places is not None and self.places.max(initial=0) < channel.size:
                with np.errstate(over="ignore"):  # an overflow is a finding
                    self.samples.append(channel.T.reshape(-1)[self.places].astype(np.float32))

    def _grid_findings(self, header: Header | None, geometry: Geometry | None, turn: Turn | None) -> list[Finding]:
        """Another grid than the image's; along other axes it is the same."""
        if header is None or geometry is None:
            return []
        if turn is None:
            return [grid_finding(_geometry(header), geometry, self.case.images[0].name)]
        fix = "It is turned onto them, exactly. `c2fnas check DATASET --fix DIR` writes a turned copy of a label."
        found, expected = "a volume stored along other axes than its image", "the image's axes"
        return [Finding(found, expected, fix, "warning")] if turn != Turn() else []

    def _list(self, findings: Sequence[Finding], path: Path) -> None:
        self.problems += [Problem.of(finding, self.case.id, path) for finding in findings]


def _unsound(header: Header) -> bool:
    return any(finding.severity == "error" for finding in header_findings(header))


def _channel_findings(headers: Sequence[Header | None], dataset: Dataset) -> list[Finding]:
    known = [header for header in headers if header is not None]
    if len(known) < len(headers):
        return []  # what is missing is listed already
    count, names = sum(prod(header.shape[3:]) for header in known), ", ".join(dataset.channels)
    if count == len(dataset.channels):
        return []
    fix = "Correct the channels in the manifest, or give the image all of them."
    return [Finding(f"{count} channels", f"{len(dataset.channels)} ({names})", fix)]


def _geometry(header: Header) -> Geometry:
    return Geometry.from_array(header.shape[:3], header.affine)


def _turn(header: Header, geometry: Geometry) -> Turn | None:
    return _geometry(header).turn_onto(geometry)


def _near(header: Header, geometry: Geometry | None, turn: Turn | None) -> list[Finding]:
    """A label's affine that is the image's but for more than rounding: other programs may have a smaller tolerance."""
    apart = _geometry(header).affine_difference(geometry) if geometry and turn else 0.0
    if apart <= NOTICED:
        return []
    fix = "It counts as the same. `c2fnas check DATASET --fix DIR` writes a copy with the image's affine."
    return [Finding(f"an affine {apart:.2g} mm off that of the image", "the image's affine", fix, "warning")]
