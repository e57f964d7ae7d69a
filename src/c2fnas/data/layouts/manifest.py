"""What the layouts share: finding and reading a manifest, its channels, paths that stay inside, ids that are safe."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.formats import without_suffix
from c2fnas.data.layouts.labels import whole_number
from c2fnas.data.problem import CaseError, Finding, Problem
from c2fnas.data.volume import read_header
from c2fnas.errors import refuse_exhaustion

MANIFEST = "dataset.json"
SEPARATOR = re.compile(r"([_\-. ])")
SAFE_ID = re.compile(r"[^/\\\0.:][^/\\\0:]*")


class EntryError(ValueError):
    """An entry of a manifest that can't be meant; ``finding`` says what is wrong with it."""

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
    except (OSError, ValueError) as error:
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
        if all(str(key).isdigit() for key in named):
            return tuple(str(named[key]) for key in sorted(named, key=lambda key: int(key)))
        return tuple(str(key) for key in sorted(named, key=lambda key: str(named[key])))
    return tuple(map(str, named)) if isinstance(named, list | tuple) else ()


def channels_or_count(named: tuple[str, ...], cases: Iterable[Case]) -> tuple[str, ...]:
    """The named channels; where the manifest names none, as many as the first readable image has."""
    for case in () if named else cases:
        try:
            headers = [read_header(path) for path in case.images]
        except CaseError:
            continue
        count = sum(header.shape[3] if len(header.shape) > 3 else 1 for header in headers)
        return tuple(f"channel {index}" for index in range(count))
    return named or ("channel 0",)


def inside(root: Path, text: Any, fix: str = "Correct the manifest, and move the file into the folder.") -> Path:
    """The path below ``root`` that a manifest names; ``fix`` is told of one that leads elsewhere.

    Raises:
        EntryError: it is no text, absolute, or climbs out of ``root``.
    """
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        found = f"{text!r} in place of a path"
        raise EntryError(Finding(found, "the path of a file", "Correct the entry in the manifest."))
    outside = Finding(f"the path {text!r}, which leads out of the data set", "a path inside the data set's folder", fix)
    path = PurePosixPath(text.strip().replace("\\", "/"))
    parts: list[str] = []
    for part in path.parts:
        if path.is_absolute() or re.fullmatch(r"[A-Za-z]:", part) or (part == ".." and not parts):
            raise EntryError(outside)
        parts = parts[:-1] if part == ".." else [*parts, part]
    if not parts:
        raise EntryError(outside)
    return root.joinpath(*parts)


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
    """The cases, those of the same name with their folder's name before it."""
    files: dict[str, set[Path]] = {}
    for case in cases:
        files.setdefault(case.id, set()).add(case.images[0])

    def with_folder(case: Case) -> Case:
        return replace(case, id=f"{case.images[0].parent.name}_{case.id}")

    return tuple(with_folder(case) if len(files[case.id]) > 1 else case for case in cases)


def id_finding(case: str) -> Finding | None:
    """What is wrong with a case's id; results are written to files named after it."""
    if SAFE_ID.fullmatch(case):
        return None
    return Finding(
        f"the case id {case!r}", "an id that can be a file's name", "Leave out slashes, colons and leading dots."
    )


def unique(cases: Iterable[Case], manifest: Path, problems: list[Problem]) -> tuple[Case, ...]:
    """The cases with safe ids, each id once; the others are listed."""
    kept: dict[str, Case] = {}
    for case in cases:
        finding = id_finding(case.id)
        if case.id in kept:
            finding = Finding(
                f"the case {case.id} twice", "every case once", "Remove one of the entries, or give it another id."
            )
        if finding:
            problems.append(Problem.of(finding, case.id, manifest))
        else:
            kept[case.id] = case
    return tuple(kept.values())


def dataset_problems(dataset: Dataset, manifest: Path, entries: Sequence[Problem], stated: Any = None) -> list[Problem]:
    """What is wrong with a data set as a whole: no cases, or not as many as the manifest states.

    ``entries`` are the problems of its entries: where those leave no case, they say enough.
    """
    if not dataset.training and not dataset.test:
        if any(problem.case and problem.severity == "error" for problem in entries):
            return []
        found = Finding(
            "no cases", "at least one", "List the cases in the manifest, and put their files where it says."
        )
        return [Problem.of(found, "", manifest)]
    if isinstance(stated, int) and stated != len(dataset.training):
        fix = "Correct numTraining, or find the cases that are missing or too many."
        expected = f"{stated}, as numTraining says"
        return [Problem.of(Finding(f"{len(dataset.training)} training cases", expected, fix, "warning"), "", manifest)]
    return []
