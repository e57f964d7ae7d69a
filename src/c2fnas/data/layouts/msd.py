"""Medical Segmentation Decathlon: ``dataset.json`` lists image and label of every case.

Understood besides: entries as text or objects, several files per image, nnU-Net v1's ``_0000`` files behind plain
names, a ``fold`` per entry and a list ``validation`` (both as MONAI's data lists have them).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from c2fnas.data.dataset import Case
from c2fnas.data.formats import suffix_of, without_suffix
from c2fnas.data.layouts.layout import Layout, Reading
from c2fnas.data.layouts.manifest import (
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
        training, validation, test = (
            tuple(_cases(content, key, draft, len(channels))) for key in ("training", "validation", "test")
        )
        return draft.reading(
            name=content.get("name"),
            scheme=draft.scheme(content),
            channels=channels,
            training=told_apart((*training, *validation)),
            test=told_apart(test),
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
    images = image_paths(root, fields.get("image"))
    label = inside(root, fields["label"]) if fields.get("label") else None
    fold = fields.get("fold", 0 if key == "validation" else None)
    return Case(name_of(images), _split_files(images, channels), label, fold=fold_number(fold))


def _split_files(images: tuple[Path, ...], channels: int) -> tuple[Path, ...]:
    """nnU-Net v1 lists ``case.nii.gz`` and means ``case_0000.nii.gz``, ``case_0001.nii.gz`` ..."""
    if len(images) > 1 or images[0].exists():
        return images
    image, suffix = images[0], suffix_of(images[0])
    files = [image.with_name(f"{without_suffix(image)}_{index:04d}{suffix}") for index in range(max(1, channels))]
    return tuple(files) if files[0].exists() else images
