"""One pass over a case: every problem of its files, and its part of the data set's fingerprint."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.fingerprint import CaseFingerprint, content_hash, stamps
from c2fnas.data.formats import Header, format_of, header_findings
from c2fnas.data.geometry import Geometry, Turn
from c2fnas.data.normalisation import foreground_places
from c2fnas.data.problem import CaseError, Finding, Problem
from c2fnas.data.restoration import Restoration, box_of
from c2fnas.data.volume import grid_finding, read_header
from c2fnas.data.voxels import class_lookup, image_findings, label_findings, label_integers, storage_findings
from c2fnas.errors import refuse_exhaustion

NOTICED = 1e-4
"""Difference of a label's affine from its image's, in millimetres, that rounding to float32 doesn't explain."""


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
        lowest: value of each channel.
    """

    case: Case
    problems: tuple[Problem, ...]
    geometry: Geometry | None = None
    voxels: tuple[int, ...] | None = None
    values: frozenset[int] = frozenset()
    fingerprint: CaseFingerprint | None = None
    sample: np.ndarray | None = None
    lowest: tuple[float, ...] = ()


@dataclass
class CaseReading:
    """The scan of one case under way: its problems so far, and the voxels that aren't zero in some channel."""

    case: Case
    dataset: Dataset
    training: bool
    problems: list[Problem] = field(default_factory=list)
    filled: np.ndarray | None = None
    places: np.ndarray | None = None
    samples: list[np.ndarray] = field(default_factory=list)
    lowest: list[float] = field(default_factory=list)

    def run(self) -> CaseScan:
        """Read the case's files."""
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
        sample, lowest = np.stack(self.samples), tuple(self.lowest)
        return CaseScan(case, tuple(self.problems), geometry, voxels, values, fingerprint, sample, lowest)

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
        return None if unsound(header) else header

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
        """Note the voxels other than zero, the lowest and the foreground's values of ``[i, j, k, channels]``."""
        for channel in np.moveaxis(channels, -1, 0):
            self.lowest.append(float(channel.min()))
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


def unsound(header: Header) -> bool:
    """True if a header has an error, so that no voxels are read by it."""
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
