"""One pass over a data set: every file is read once, for every problem of every case and for the fingerprint."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c2fnas.data.case_scan import CaseReading, CaseScan, unsound
from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.fingerprint import ChannelFingerprint, ClassFingerprint, Fingerprint, channel_kind
from c2fnas.data.layouts import Reading, read_dataset
from c2fnas.data.normalisation import statistics
from c2fnas.data.parallel import Progress, bounded_workers, in_order
from c2fnas.data.problem import CaseError, Problem
from c2fnas.data.volume import read_header
from c2fnas.shapes import Size, Spacing
from c2fnas.text import crossed, some

PLANE, FLAT, WIDE = 64, 3, 500
"""A plane of so many voxels a side is a scanner's: with a third of them through it, or if it is as wide, 1 mm isn't
believed."""

SHOWN_CLASSES = 5

BELOW_TISSUE = -500.0
"""Values so low are air or lung in Hounsfield units; those of MR are hardly ever below zero."""
OTHERWISE_SCALED = ("nonorm", "rescale_to_0_1", "rgb_to_0_1")
"""Names of channels by which nnU-Net scales in other ways than by their mean and standard deviation."""


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
        whole = (*self._absent_classes(), *self._lost_spacing(), *self._unlikely_kinds(), *self._copies())
        return (*self.manifest, *whole, *cases)

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
            yield Problem.warning(self.dataset.root, found, "every class in some case", fix)
        if self.present and self.dataset.regions_class_order is not None:
            yield from self._absent_values()

    def _copies(self) -> Iterator[Problem]:
        """A warning of cases whose files are the same, byte for byte."""
        by_content: dict[str, list[str]] = {}
        for each in self.training:
            if each.fingerprint:
                by_content.setdefault(each.fingerprint.sha256, []).append(each.case.id)
        alike = [" = ".join(cases) for cases in by_content.values() if len(cases) > 1]
        if alike:
            found = f"the same files under several names: {some(alike, SHOWN_CLASSES, '; ')}"
            fix = "Keep one of each: a copy in training and in validation makes Dice look better than it is."
            yield Problem.warning(self.dataset.root, found, "each case once", fix)

    def _absent_values(self) -> Iterator[Problem]:
        """A warning of values in regions that no training case has, though it has others of them."""
        held = frozenset().union(*(each.values for each in self.training))
        present = [each for each in self.dataset.classes[1:] if held & {*each.values}]
        lacking = {value for each in present for value in each.values} - held
        if lacking:
            regions = ", ".join(each.name for each in present if lacking & {*each.values})
            found = f"no training case with label {', '.join(map(str, sorted(lacking)))}, of the regions: {regions}"
            fix = "Take it out of the regions, unless cases to come have it; or add cases that hold it."
            yield Problem.warning(self.dataset.root, found, "every label of a region in some case", fix)

    def _lost_spacing(self) -> Iterator[Problem]:
        """Grids of which the spacing of 1 mm can hardly be true: flat ones, and wide ones."""
        grids = [each.geometry for each in (*self.training, *self.test) if each.geometry and not each.case.spacing]
        lost = [grid.shape for grid in grids if np.allclose(grid.spacing, 1, atol=1e-6) and _is_unlike_1_mm(grid.shape)]
        if lost:
            number = f"{len(lost)} of {len(grids)} images"
            found = f"a spacing of exactly 1 mm along every axis in {number}, such as one of {crossed(lost[0])}"
            fix = (
                "It looks lost, which would spoil resampling, patches and distances. State the true one by `--spacing "
                "I,J,K` in mm (`check`, `prepare`, `run`, `train`, `predict` and `evaluate` take it) or a column "
                "`spacing` in a CSV; files stay as they are."
            )
            yield Problem.warning(self.dataset.root, found, "the scanner's spacing", fix)

    def _unlikely_kinds(self) -> Iterator[Problem]:
        """Channels that hold Hounsfield units and do not say so, and those that nnU-Net would scale in another way."""
        read = [each.lowest for each in self.training if each.fingerprint is not None]
        for index, name in enumerate(self.dataset.channels):
            if channel_kind(name) == "ct":
                continue
            low = [lowest[index] for lowest in read if lowest[index] <= BELOW_TISSUE]
            if low and 2 * len(low) >= len(read):
                found = f"the channel {name!r}, down to {min(low):g} in {len(low)} of {len(read)} training images"
                fix = (
                    "It looks like Hounsfield units. A channel of CT has CT in its name, such as a CSV's column "
                    "`image_CT`, or in dataset.json's `channel_names`: its values are then clipped and standardised "
                    "over all cases. By any other name each image is standardised on its own, like MR."
                )
                yield Problem.warning(self.dataset.root, found, "a name that says CT, or values of MR", fix)
            elif name.lower() in OTHERWISE_SCALED:
                fix = "Nothing is lost where intensities have no unit; scale them beforehand if they have one."
                found = f"the channel {name!r}, by nnU-Net a way to scale it that is not known here"
                expected = "CT, or a name of any other kind, which is standardised image by image"
                yield Problem.warning(self.dataset.root, found, expected, fix)


def _is_unlike_1_mm(shape: Size) -> bool:
    """True for slices far fewer than they are wide, and for a plane of half a metre."""
    few, middle, many = sorted(shape)
    return (middle >= PLANE and many > FLAT * few) or middle >= WIDE


def scan_dataset(
    dataset: Dataset | Reading | Path,
    *,
    spacing: Spacing | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Scan:
    """Read every file of a data set once.

    Args:
        dataset: a data set; or the path of one or what was read there, whose manifest is then checked as well.
        spacing: the true one, where the headers have lost it.
        workers: cases that are read at the same time; fewer where the memory doesn't hold as many.
        progress: called with the cases done and those there are.

    Raises:
        UserError: there is no data set of a known layout at the path, a package that reads its files is absent, or the
            system has run out of a resource.
    """
    if isinstance(dataset, Dataset):
        dataset = Reading(dataset, (), ())
    reading = dataset if isinstance(dataset, Reading) else read_dataset(Path(dataset))
    known = reading.dataset.with_spacing(spacing)
    count, cases = len(known.training), (*known.training, *known.test)
    fitting = bounded_workers(cases, workers, _voxels)

    def read(number: int) -> CaseScan:  # one that is read holds a mask of its voxels, and so is not kept
        return CaseReading(cases[number], known, number < count).run()

    found = list(in_order(read, range(len(cases)), fitting, progress))
    return Scan(known, reading.problems, tuple(found[:count]), tuple(found[count:]), reading.files)


def _voxels(case: Case) -> int:
    """Voxels of a case's images by the headers; those that can't be read take no memory."""
    voxels = 0
    for path in case.images:
        with suppress(CaseError):
            header = read_header(path, case.id)
            voxels += 0 if unsound(header) else header.voxels
    return voxels
