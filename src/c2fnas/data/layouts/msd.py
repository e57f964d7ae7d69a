"""Medical Segmentation Decathlon: ``dataset.json`` lists image and label of every case.

Understood besides: entries as text or objects, several files per image, nnU-Net v1's ``_0000`` files behind plain
names, a ``fold`` per entry and a list ``validation`` (both as MONAI's data lists have them).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from c2fnas.data.dataset import Case, Dataset
from c2fnas.data.formats import suffix_of, without_suffix
from c2fnas.data.layouts.labels import parse_classes
from c2fnas.data.layouts.layout import Layout, Reading
from c2fnas.data.layouts.manifest import (
    EntryError,
    channels_or_count,
    dataset_problems,
    fold_number,
    image_paths,
    inside,
    manifest_path,
    name_of,
    parse_channels,
    read_manifest,
    told_apart,
    unique,
)
from c2fnas.data.problem import Finding, Problem

FIX = "Correct the entry in the manifest."


class MsdLayout(Layout):
    """The layout of the Medical Segmentation Decathlon."""

    name = "Medical Segmentation Decathlon"
    sign = "a folder with a dataset.json that lists `training` cases"

    def recognises(self, path: Path) -> bool:
        """Whether a manifest is there that lists its training cases."""
        return manifest_path(path) is not None and isinstance(read_manifest(path).get("training"), list)

    def read(self, path: Path) -> Reading:
        """Read ``dataset.json``."""
        content, file = read_manifest(path), manifest_path(path) or path
        problems: list[Problem] = []
        channels = parse_channels(content)
        training = [
            *_cases(content, "training", file, len(channels), problems),
            *_cases(content, "validation", file, len(channels), problems),
        ]
        test = list(_cases(content, "test", file, len(channels), problems))
        classes, findings = parse_classes(content.get("labels"))
        problems += [Problem.of(finding, "", file) for finding in findings]
        dataset = Dataset(
            name=str(content.get("name") or file.parent.resolve().name),
            root=file.parent,
            channels=channels_or_count(channels, training),
            classes=classes,
            training=unique(told_apart(training), file, problems),
            test=unique(told_apart(test), file, problems),
        )
        problems += dataset_problems(dataset, file, problems, content.get("numTraining"))
        return Reading(dataset, tuple(problems), (file,))


def _cases(content: dict[str, Any], key: str, file: Path, channels: int, problems: list[Problem]) -> Iterator[Case]:
    """The cases of one list; entries that can't be read are added to ``problems``."""
    entries = content.get(key) or []
    if not isinstance(entries, list):
        problems.append(Problem.of(Finding(f"{key}: {entries!r:.60}", "a list of cases", FIX), "", file))
        return
    for number, entry in enumerate(entries):
        try:
            yield _case(entry, key, file.parent, channels)
        except EntryError as error:
            problems.append(Problem.of(error.finding, f"{key}[{number}]", file))


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
