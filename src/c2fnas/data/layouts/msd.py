"""Medical Segmentation Decathlon: ``dataset.json`` lists image and label of every case.

Understood besides: entries as text or objects, several files per image, nnU-Net v1's ``_0000`` files behind plain
names, and MONAI's data lists: a ``fold`` per entry, lists ``validation`` and ``testing``, no ``labels``.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from c2fnas.data.dataset import Case
from c2fnas.data.formats import suffix_of, without_suffix
from c2fnas.data.layouts.layout import Layout, Reading
from c2fnas.data.layouts.manifest import (
    UNREAD,
    Draft,
    fold_number,
    image_paths,
    inside,
    manifest_path,
    name_of,
    parse_channels,
    read_manifest,
    told_apart,
)
from c2fnas.data.problem import Finding
from c2fnas.files import is_there
from c2fnas.text import plural

LISTS = ("training", "validation", "test", "testing")
KEYS = ("image", "label", "fold")


class MsdLayout(Layout):
    """The layout of the Medical Segmentation Decathlon."""

    name = "Medical Segmentation Decathlon"
    sign = "a folder with a dataset.json that lists `training` cases"

    def recognises(self, path: Path) -> bool:
        """True if a manifest is there that lists its training cases."""
        return manifest_path(path) is not None and isinstance(read_manifest(path).get("training"), list)

    def read(self, path: Path) -> Reading:
        """Read ``dataset.json``."""
        content, draft = read_manifest(path), Draft(manifest_path(path) or path)
        channels = parse_channels(content)
        training, validation, test, testing = (
            tuple(_cases(content, key, draft, len(channels))) for key in ("training", "validation", "test", "testing")
        )
        labelled = told_apart((*training, *validation))
        _note_unknown(content, draft)
        return draft.reading(
            name=content.get("name"),
            scheme=draft.scheme(content) if "labels" in content else draft.found_classes(labelled),
            channels=channels,
            training=labelled,
            test=told_apart((*test, *testing)),
            stated=content.get("numTraining"),
        )


def _cases(content: dict[str, Any], key: str, draft: Draft, channels: int) -> Iterator[Case]:
    entries = content.get(key) or []
    if not isinstance(entries, list):
        draft.note(Finding(f"{key}: {entries!r:.60}", "a list of cases", "Correct the entry in the manifest."))
        return iter(())
    named = ((f"{key}[{number}]", entry) for number, entry in enumerate(entries))
    return draft.cases(named, lambda entry: _case(entry, key, draft.manifest.parent, channels))


def _case(entry: Any, key: str, root: Path, channels: int) -> Case:
    fields = entry if isinstance(entry, dict) else {"image": entry}
    images, label = image_paths(root, fields.get("image")), fields.get("label")
    label = label[0] if isinstance(label, list) and len(label) == 1 else label
    fold = fields.get("fold", 0 if key == "validation" else None)
    return Case(
        name_of(images), _split_files(images, channels), inside(root, label) if label else None, fold=fold_number(fold)
    )


def _note_unknown(content: dict[str, Any], draft: Draft) -> None:
    """Lists of cases and keys of entries that nothing reads, each once with its count."""
    lists = {key: [each for each in value if isinstance(each, dict)] for key, value in content.items() if _list(value)}
    unread = [(f"a list {key!r} of {plural(len(lists[key]), 'case')}", LISTS) for key in lists if key not in LISTS]
    keys = Counter(key for name in LISTS for each in lists.get(name, ()) for key in each if key not in KEYS)
    unknown = [(f"the key {key!r} in {plural(count, 'entry', 'entries')}", KEYS) for key, count in keys.items()]
    for found, known in unread + unknown:
        draft.note(Finding(found, ", ".join(known), UNREAD, "warning"))
    draft.note_misspelt(content)


def _list(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, dict) and "image" in each for each in value)


def _split_files(images: tuple[Path, ...], channels: int) -> tuple[Path, ...]:
    """nnU-Net v1 lists ``case.nii.gz`` and means ``case_0000.nii.gz``, ``case_0001.nii.gz`` ..."""
    if len(images) > 1 or is_there(images[0]):
        return images
    image, suffix = images[0], suffix_of(images[0])
    files = [image.with_name(f"{without_suffix(image)}_{index:04d}{suffix}") for index in range(max(1, channels))]
    return tuple(files) if is_there(files[0]) else images
