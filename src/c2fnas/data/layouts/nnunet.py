"""nnU-Net raw (v2): ``imagesTr/CASE_0000.nii.gz``, a file per channel, and a ``dataset.json`` that lists no cases."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from c2fnas.data.dataset import Case
from c2fnas.data.formats import FORMATS, suffix_of
from c2fnas.data.layouts.layout import Layout, Reading
from c2fnas.data.layouts.manifest import Draft, image_paths, inside, manifest_path, parse_channels, read_manifest
from c2fnas.data.problem import Finding

CHANNEL_FILE = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


class NnunetLayout(Layout):
    """The layout of nnU-Net's raw data."""

    name = "nnU-Net raw"
    sign = "a folder with imagesTr/*_0000.nii.gz, labelsTr and a dataset.json with `channel_names` and `file_ending`"

    def recognises(self, path: Path) -> bool:
        """True if a manifest is there that leaves the listing of cases to the folders."""
        manifest = manifest_path(path)
        if manifest is None:
            return False
        content = read_manifest(path)
        return not isinstance(content.get("training"), list) and (
            "channel_names" in content or "file_ending" in content or (manifest.parent / "imagesTr").is_dir()
        )

    def read(self, path: Path) -> Reading:
        """Read ``dataset.json`` and list the folders."""
        content, draft = read_manifest(path), Draft(manifest_path(path) or path)
        root, listed = draft.manifest.parent, content.get("dataset")
        scheme = draft.scheme(content)
        ending = str(content.get("file_ending") or _ending(root))
        if ending.lower() not in FORMATS:
            draft.note(Finding(f"file_ending {ending!r}", f"one of {', '.join(FORMATS)}", "Convert the files."))
        channels = parse_channels(content) or ("channel 0",)
        training = _listed(listed, draft) if isinstance(listed, dict) else _folder(draft, "Tr", ending, channels)
        return draft.reading(
            name=content.get("name"),
            scheme=scheme,
            channels=channels,
            training=training,
            test=_folder(draft, "Ts", ending, channels),
            stated=content.get("numTraining"),
        )


def _ending(root: Path) -> str:
    names = sorted((root / "imagesTr").iterdir()) if (root / "imagesTr").is_dir() else []
    return next((suffix_of(name) for name in names if suffix_of(name)), ".nii.gz")


def _folder(draft: Draft, which: str, ending: str, channels: tuple[str, ...]) -> Iterator[Case]:
    """The cases of ``imagesTr`` (and ``labelsTr``, for labels without images) or ``imagesTs``, by name."""
    images, labels = draft.manifest.parent / f"images{which}", draft.manifest.parent / f"labels{which}"
    found: dict[str, dict[int, Path]] = {}
    for stem, file in _files(images, ending).items():
        match = CHANNEL_FILE.fullmatch(stem)
        if match is None:
            draft.note(Finding("no channel number", f"CASE_0000{ending}", "Rename the file.", "warning"), stem, file)
        else:
            found.setdefault(match["case"], {})[int(match["channel"])] = file
    labelled = _files(labels, ending)
    for case in labelled if which == "Tr" else ():
        found.setdefault(case, {})
    for case, numbered in sorted(found.items()):
        for number in sorted(number for number in numbered if number >= len(channels)):
            fix = "Name the channel in the manifest's channel_names, or remove the file."
            expected = f"{len(channels)} ({', '.join(channels)}) channels"
            draft.note(Finding(f"a channel {number:04d}", expected, fix), case, images)
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


def _listed(listed: dict[str, Any], draft: Draft) -> Iterator[Case]:
    """The cases of the manifest's own list, ``{"CASE": {"images": [...], "label": ...}}``."""
    root = draft.manifest.parent

    def read(entry: tuple[str, Any]) -> Case:
        fields = entry[1] if isinstance(entry[1], dict) else {}
        return Case(entry[0], image_paths(root, fields.get("images")), inside(root, fields.get("label")))

    return draft.cases(((str(case), (str(case), fields)) for case, fields in listed.items()), read)
