"""nnU-Net raw (v2): ``imagesTr/CASE_0000.nii.gz``, a file per channel, and a ``dataset.json`` that lists no cases."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.formats import FORMATS, suffix_of
from c2fnas.data.layouts.labels import parse_classes
from c2fnas.data.layouts.layout import Layout, Reading
from c2fnas.data.layouts.manifest import (
    EntryError,
    dataset_problems,
    image_paths,
    inside,
    manifest_path,
    parse_channels,
    read_manifest,
    unique,
)
from c2fnas.data.problem import Finding, Problem

CHANNEL_FILE = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


class NnunetLayout(Layout):
    """The layout of nnU-Net's raw data."""

    name = "nnU-Net raw"
    sign = "a folder with imagesTr/*_0000.nii.gz, labelsTr and a dataset.json with `channel_names` and `file_ending`"

    def recognises(self, path: Path) -> bool:
        """Whether a manifest is there that leaves the listing of cases to the folders."""
        manifest = manifest_path(path)
        if manifest is None:
            return False
        content = read_manifest(path)
        return not isinstance(content.get("training"), list) and (
            "channel_names" in content or "file_ending" in content or (manifest.parent / "imagesTr").is_dir()
        )

    def read(self, path: Path) -> Reading:
        """Read ``dataset.json`` and list the folders."""
        content, file = read_manifest(path), manifest_path(path) or path
        problems: list[Problem] = []
        classes, findings = parse_classes(content.get("labels"))
        problems += [Problem.of(finding, "", file) for finding in findings]
        ending = str(content.get("file_ending") or _ending(file.parent))
        if ending.lower() not in FORMATS:
            expected = f"one of {', '.join(FORMATS)}"
            problems.append(Problem.of(Finding(f"file_ending {ending!r}", expected, "Convert the files."), "", file))
        channels = parse_channels(content) or ("channel 0",)
        listed = content.get("dataset")
        training = (
            _listed(listed, file, problems)
            if isinstance(listed, dict)
            else _folder(file.parent, "Tr", ending, channels, problems)
        )
        dataset = Dataset(
            name=str(content.get("name") or file.parent.resolve().name),
            root=file.parent,
            channels=channels,
            classes=classes,
            training=unique(training, file, problems),
            test=unique(_folder(file.parent, "Ts", ending, channels, problems), file, problems),
        )
        problems += dataset_problems(dataset, file, problems, content.get("numTraining"))
        return Reading(dataset, tuple(problems), (file,))


def _ending(root: Path) -> str:
    names = sorted((root / "imagesTr").iterdir()) if (root / "imagesTr").is_dir() else []
    return next((suffix_of(name) for name in names if suffix_of(name)), ".nii.gz")


def _folder(root: Path, which: str, ending: str, channels: tuple[str, ...], problems: list[Problem]) -> Iterator[Case]:
    """The cases of ``imagesTr`` (and ``labelsTr``, for labels without images) or ``imagesTs``, by name."""
    images, labels = root / f"images{which}", root / f"labels{which}"
    found: dict[str, dict[int, Path]] = {}
    for stem, file in _files(images, ending).items():
        match = CHANNEL_FILE.fullmatch(stem)
        if match is None:
            finding = Finding("no channel number", f"CASE_0000{ending}", "Rename the file.", "warning")
            problems.append(Problem.of(finding, stem, file))
        else:
            found.setdefault(match["case"], {})[int(match["channel"])] = file
    labelled = _files(labels, ending)
    for case in labelled if which == "Tr" else ():
        found.setdefault(case, {})
    for case, numbered in sorted(found.items()):
        problems += _surplus(case, numbered, channels, images)
        absent = labels / f"{case}{ending}" if which == "Tr" else None
        files = tuple(numbered.get(number, images / f"{case}_{number:04d}{ending}") for number in range(len(channels)))
        yield Case(case, files, labelled.get(case, absent))


def _files(folder: Path, ending: str) -> dict[str, Path]:
    """Files by their names without the ending, in whatever case it is written.

    Files that start with a dot are a file system's own.
    """
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return {
        path.name[: -len(ending)]: path
        for path in paths
        if path.name.lower().endswith(ending.lower()) and not path.name.startswith(".")
    }


def _surplus(case: str, numbers: Iterable[int], channels: tuple[str, ...], folder: Path) -> list[Problem]:
    surplus = sorted(number for number in numbers if number >= len(channels))
    if not surplus:
        return []
    expected = f"{len(channels)} ({', '.join(channels)})"
    fix = "Name the channel in the manifest's channel_names, or remove the file."
    return [
        Problem.of(Finding(f"a channel {number:04d}", f"{expected} channels", fix), case, folder) for number in surplus
    ]


def _listed(listed: dict[str, Any], file: Path, problems: list[Problem]) -> Iterator[Case]:
    """The cases of the manifest's own list, ``{"CASE": {"images": [...], "label": ...}}``."""
    for case, fields in listed.items():
        paths = fields if isinstance(fields, dict) else {}
        try:
            images = image_paths(file.parent, paths.get("images"))
            yield Case(str(case), images, inside(file.parent, paths.get("label")))
        except EntryError as error:
            problems.append(Problem.of(error.finding, str(case), file))
