"""Parts that the layouts share: reading a manifest, its channels, paths that stay inside, ids that are safe."""

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from difflib import get_close_matches
from itertools import takewhile
from math import prod
from pathlib import Path
from typing import Any

from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.formats import without_suffix
from c2fnas.data.layouts.labels import parse_labels, whole_number
from c2fnas.data.layouts.layout import Reading
from c2fnas.data.problem import CaseError, Finding, Problem
from c2fnas.data.scheme import LabelScheme
from c2fnas.data.volume import read_header, read_stored
from c2fnas.data.voxels import fraction_finding, label_values
from c2fnas.errors import refuse_exhaustion

MANIFEST = "dataset.json"
SCAN_WORKERS = 4
SEPARATOR = re.compile(r"([_\-. ])")
UNREAD = "Nothing reads it: correct its name if it is meant for one of these."
MANIFEST_KEYS = (
    *("name", "labels", "regions_class_order", "channel_names", "channels", "modality", "modalities"),
    *("file_ending", "numTraining", "numTest", "dataset"),
)
NEARLY = 0.8
"""Likeness of two names, of 1, from which one is taken for the other misspelt."""
SAFE_ID = re.compile(r"[^/\\\0.:][^/\\\0:]*")


class EntryError(ValueError):
    """An entry of a manifest that can't be meant, with the finding."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.found)


def manifest_path(path: Path) -> Path | None:
    """The manifest of a data set given as a folder or as the manifest itself."""
    manifest = path / MANIFEST if path.is_dir() else path
    return manifest if manifest.suffix == ".json" and manifest.is_file() else None


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        CaseError: there is none, or it is no JSON object.
    """
    manifest = manifest_path(path)
    if manifest is None:
        fix = "Name the folder that holds it, or the file itself."
        raise CaseError("", path, f"no {MANIFEST}", "a manifest", fix)
    try:
        content = json.loads(manifest.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        refuse_exhaustion(manifest, error)
        raise CaseError("", manifest, f"unreadable JSON ({error})", "JSON in UTF-8", "Correct the file.") from error
    if not isinstance(content, dict):
        raise CaseError("", manifest, f"a JSON {type(content).__name__}", "a JSON object", "Correct the manifest.")
    return content


def parse_channels(manifest: dict[str, Any]) -> tuple[str, ...]:
    """Names of the channels: index to name (string or integer keys), a list, or one name; empty where there are none.

    >>> parse_channels({"modality": {"1": "ADC", "0": "T2"}})
    ('T2', 'ADC')
    """
    named = next(
        (manifest[key] for key in ("channel_names", "modality", "modalities", "channels") if manifest.get(key)), ()
    )
    if isinstance(named, str):
        return (named,)
    if isinstance(named, dict):
        if all(str(key).isdecimal() for key in named):
            return tuple(str(named[key]) for key in sorted(named, key=lambda key: int(key)))
        return tuple(str(key) for key in sorted(named, key=lambda key: str(named[key])))
    return tuple(map(str, named)) if isinstance(named, list | tuple) else ()


def inside(root: Path, text: Any) -> Path:
    """The path below ``root`` that a manifest names: a relative one, or an absolute one that lies there.

    Raises:
        EntryError: it is no text, or leads out of ``root``.
    """
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        found = f"{text!r} in place of a path"
        raise EntryError(Finding(found, "the path of a file", "Correct the entry in the manifest."))
    named = Path(text.strip().replace("\\", "/"))
    for base in (root.absolute(), root.resolve()):  # the data set's folder may be reached by a link
        path = Path(os.path.normpath(base / named))
        if path != base and path.is_relative_to(base) and not re.match(r"[A-Za-z]:", text.strip()):
            return root / path.relative_to(base)
    fix = "Move the file into that folder, or list the cases in a CSV, which takes absolute paths."
    outside = f"the {'absolute path' if named.is_absolute() else 'path'} {text!r}, which leads out of the data set"
    raise EntryError(Finding(outside, f"a file in {root}", fix))


def image_paths(root: Path, listed: Any) -> tuple[Path, ...]:
    """The files of an image below ``root``, which a manifest names by one path or by a list of them.

    Raises:
        EntryError: one of them is no such path.
    """
    return tuple(inside(root, each) for each in (listed if isinstance(listed, list) and listed else [listed]))


def fold_number(value: Any) -> int | None:
    """The fold that an entry names, as a number or as text (``"1"``; ``1.0``, as pandas has it); None for none.

    Raises:
        EntryError: it is no whole number from 0.
    """
    if value is None or value == "":
        return None
    number = whole_number(value)
    if number is None or number < 0:
        raise EntryError(Finding(f"fold {value!r}", "a whole number from 0", "Correct the fold, or leave it out."))
    return number


def name_of(images: Sequence[Path]) -> str:
    """An id for a case by its files: their name, without what tells channels apart.

    >>> name_of([Path("a.nii.gz")]), name_of([Path("a_0000.nrrd"), Path("a_0001.nrrd")])
    ('a', 'a')
    >>> name_of([Path("17_T1.mha"), Path("17_T2.mha")]), name_of([Path("17/T1.mha"), Path("17/T2.mha")])
    ('17', 'T1')
    """
    names = [without_suffix(path) for path in images]
    if len(names) == 1:
        return names[0]
    parts = zip(*(SEPARATOR.split(name) for name in names), strict=False)
    return "".join(each[0] for each in takewhile(lambda each: len(set(each)) == 1, parts)).rstrip("_-. ") or names[0]


def told_apart(cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases, those of the same name with the names of folders before it, as many as tell them apart.

    >>> files = [Path("a/anat/t1.nii.gz"), Path("b/anat/t1.nii.gz"), Path("c/t2.nii.gz")]
    >>> [case.id for case in told_apart([Case(name_of([file]), (file,), None) for file in files])]
    ['a_anat_t1', 'b_anat_t1', 't2']
    """
    files: dict[str, set[Path]] = {}
    for case in cases:
        files.setdefault(case.id, set()).add(case.images[0])
    folders = {name: _folders_that_tell(same) for name, same in files.items()}

    def with_folders(case: Case) -> Case:
        above = _above(case.images[0])
        return replace(case, id="_".join((*above[len(above) - folders[case.id] :], case.id)))

    return tuple(with_folders(case) if folders[case.id] else case for case in cases)


def _folders_that_tell(files: Collection[Path]) -> int:
    """The fewest folders above by whose names files are told apart; those of one folder are not."""
    above = [_above(file) for file in files]
    counts = range(1, max(map(len, above)) + 1)
    apart = (count for count in counts if len({names[-count:] for names in above}) == len(files))
    return 0 if len(files) == 1 else next(apart, 1)


def _above(file: Path) -> tuple[str, ...]:
    """The names of the folders above a file, without a root or a drive."""
    return tuple(part for part in file.parent.parts if part != file.anchor)


def _values(label: Path) -> list[int]:
    try:
        stored, header = read_stored(label, "")
    except CaseError:
        return []
    return label_values(stored) if fraction_finding(stored, header.scaling) is None else []


class Draft:
    """A data set that is being read: its manifest, and the problems so far."""

    def __init__(self, manifest: Path) -> None:
        self.manifest, self.problems = manifest, list[Problem]()

    def note(self, finding: Finding, entry: str = "", file: Path | None = None) -> None:
        """Add something wrong with an entry, or with the whole, of the manifest or of another file."""
        self.problems.append(Problem.of(finding, entry, file or self.manifest))

    def note_misspelt(self, manifest: Mapping[str, Any], file: Path | None = None) -> None:
        """Note keys of a manifest that are nearly those that are read; others may be meant for other programs."""
        missing = [key for key in MANIFEST_KEYS if key not in manifest]
        for key in manifest:
            near = get_close_matches(key, missing, 1, NEARLY) if key not in MANIFEST_KEYS else []
            if near:
                self.note(Finding(f"the key {key!r}", f"{near[0]!r}", UNREAD, "warning"), file=file)

    def scheme(self, manifest: Mapping[str, Any], file: Path | None = None) -> LabelScheme:
        """Return the classes or regions that a manifest's labels describe, see :func:`parse_labels`."""
        scheme, findings = parse_labels(manifest.get("labels"), manifest.get("regions_class_order"))
        for finding in findings:
            self.note(finding, file=file)
        return scheme

    def found_classes(self, cases: Sequence[Case]) -> LabelScheme:
        """Return classes by the values in the label files; where none can be read, that is for the check to report."""
        with ThreadPoolExecutor(SCAN_WORKERS) as threads:
            values = set[int]().union(*threads.map(_values, [case.label for case in cases if case.label]))
        labels = {"background": 0, **{f"label {value}": value for value in sorted(values) if value > 0}}
        return self.scheme({"labels": labels}) if values else parse_labels(labels)[0]

    def cases(self, entries: Iterable[tuple[str, Any]], read: Callable[[Any], Case]) -> Iterator[Case]:
        """Yield the cases of named entries; those that ``read`` refuses by :class:`EntryError` are noted."""
        for name, entry in entries:
            try:
                yield read(entry)
            except EntryError as error:
                self.note(error.finding, name)

    def reading(
        self,
        *,
        scheme: LabelScheme,
        training: Iterable[Case],
        test: Iterable[Case] = (),
        channels: tuple[str, ...] = (),
        name: Any = None,
        stated: Any = None,
        files: tuple[Path, ...] = (),
    ) -> Reading:
        """Return the data set as far as it can be read.

        Args:
            scheme: the classes or regions.
            training: in the manifest's order; those with unsafe ids or the id of another one are left out.
            test: likewise.
            channels: their names; where there are none, as many as the first readable image has.
            name: by default that of the manifest's folder.
            stated: the number of training cases by the manifest.
            files: the manifest's own, where they are more than one.
        """
        kept, root = self._unique(training), self.manifest.parent
        dataset = Dataset(
            name=str(name or root.resolve().name),
            root=root,
            channels=channels or _numbered_channels(kept),
            classes=scheme.classes,
            training=kept,
            test=self._unique(test),
            regions_class_order=scheme.order,
            ignore=scheme.ignore,
        )
        self._whole(dataset, stated)
        return Reading(dataset, tuple(self.problems), files or (self.manifest,))

    def _unique(self, cases: Iterable[Case]) -> tuple[Case, ...]:
        """The cases with safe ids, each id once; results are written to files named after it."""
        kept: dict[str, Case] = {}
        for case in cases:
            if case.id in kept:
                fix = "Remove one of the entries, or give it another id."
                self.note(Finding(f"the case {case.id} twice", "every case once", fix), case.id)
            elif not SAFE_ID.fullmatch(case.id):
                fix = "Leave out slashes, colons and leading dots."
                self.note(Finding(f"the case id {case.id!r}", "an id that can be a file's name", fix), case.id)
            else:
                kept[case.id] = case
        return tuple(kept.values())

    def _whole(self, dataset: Dataset, stated: Any) -> None:
        """No cases, unless the problems of the entries say enough, or not as many as the manifest states."""
        count = len(dataset.training)
        if not dataset.training and not dataset.test:
            if not any(problem.severity == "error" for problem in self.problems):
                fix = "List the cases in the manifest, and put their files where it says."
                self.note(Finding("no cases", "at least one", fix))
        elif isinstance(stated, int) and stated != count:
            fix = "Correct numTraining, or find the cases that are missing or too many."
            self.note(Finding(f"{count} training cases", f"{stated}, as numTraining says", fix, "warning"))


def _numbered_channels(cases: Iterable[Case]) -> tuple[str, ...]:
    """Names of the channels of the first readable image; those of DICOM's CT say so, since they are scaled by it."""
    for case in cases:
        try:
            headers = [read_header(path) for path in case.images]
        except CaseError:
            continue
        kinds = [header.modality for header in headers for _ in range(prod(header.shape[3:]))]
        return tuple(f"channel {index}{' (CT)' if kind == 'CT' else ''}" for index, kind in enumerate(kinds))
    return ("channel 0",)
