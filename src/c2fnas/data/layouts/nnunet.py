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
from c2fnas.text import plural

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
        draft.note_misspelt(content)
        scheme = draft.scheme(content)
        ending = str(content.get("file_ending") or _ending(root))
        if f".{ending.lower()}" in FORMATS:
            ending = f".{ending}"
        if ending.lower() not in FORMATS:
            fix = "Correct file_ending in the manifest, or convert the files."
            draft.note(Finding(f"file_ending {ending!r}", f"one of {', '.join(FORMATS)}", fix))
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
    known = _files(labels, ending)
    labelled = known if which == "Tr" else {}
    files = _files(images, ending)
    _note_endings(draft, images, files, ending)
    found: dict[str, dict[int, Path]] = {}
    bare = {stem: path for stem, path in files.items() if stem in labelled and f"{stem}_0000" not in files}
    bare = {} if all(stem.endswith("_0000") for stem in labelled) else bare  # then labels have it, and should not
    for stem, path in files.items():
        match = CHANNEL_FILE.fullmatch(stem)
        if stem in bare or match is None:
            bare[stem] = path
        else:
            found.setdefault(match["case"], {})[int(match["channel"])] = path
    for case in [case for case, numbered in found.items() if case not in labelled and min(numbered) >= len(channels)]:
        bare |= {path.name[: -len(ending)]: path for path in found.pop(case).values()}  # a case's name ends so itself
    _note_bare(draft, bare, ending, images, alone=not found or bool(bare.keys() & labelled.keys()))
    numbered_labels = [case for case in labelled if case.removesuffix("_0000") in found and case not in found]
    if numbered_labels:
        fix = "Take it out of the labels' names: a label belongs to all channels."
        such = f"such as {labelled[numbered_labels[0]].name}"
        text = f"{plural(len(numbered_labels), 'label')} with a channel's number, {such}"
        draft.note(Finding(text, f"CASE{ending}", fix), file=labels)
    for case in labelled:
        if case not in bare and case not in numbered_labels:
            found.setdefault(case, {})
    beyond = {case: [number for number in numbered if number >= len(channels)] for case, numbered in found.items()}
    for number in sorted({number for numbers in beyond.values() for number in numbers}):
        fix = "Name the channel in the manifest's channel_names, or remove the files."
        expected = f"{len(channels)} ({', '.join(channels)}) channels"
        held = [case for case, numbers in beyond.items() if number in numbers]
        text = f"a channel {number:04d} of {plural(len(held), 'case')}"
        draft.note(Finding(text, expected, fix), "" if held[1:] else held[0], images)
    for case, numbered in sorted(found.items()):
        paths = tuple(numbered.get(number, images / f"{case}_{number:04d}{ending}") for number in range(len(channels)))
        label = known.get(case, known.get(f"{case}_0000") if numbered_labels else None)
        yield Case(case, paths, label or (labels / f"{case}{ending}" if which == "Tr" else None))


def _note_bare(draft: Draft, bare: dict[str, Path], ending: str, images: Path, *, alone: bool) -> None:
    """Images without a channel's number: an error where a label waits for one, or there are no others."""
    if not bare:
        return
    stem = min(bare)
    found = f"{plural(len(bare), 'image')} without a channel's number, such as {bare[stem].name}"
    fix = f"Name the first channel {stem}_0000{ending}, and so on; nnU-Net wants the number with a single channel too."
    draft.note(
        Finding(found, f"CASE_0000{ending}", fix, "error" if alone else "warning"),
        "" if bare.keys() - {stem} else stem,
        images,
    )


def _note_endings(draft: Draft, images: Path, files: dict[str, Path], ending: str) -> None:
    """Volumes that the manifest's ending passes over."""
    others = [path for path in sorted(images.glob("[!.]*")) if suffix_of(path) and path not in files.values()]
    if others:
        fix = "Correct file_ending in the manifest, or convert the files."
        found = f"{plural(len(others), 'volume')} that end otherwise, such as {others[0].name}"
        draft.note(Finding(found, f"file_ending {ending}", fix, "warning" if files else "error"), file=images)


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
