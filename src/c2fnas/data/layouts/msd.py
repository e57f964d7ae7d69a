"""The Medical Segmentation Decathlon layout: ``dataset.json``, ``imagesTr``, ``labelsTr``, ``imagesTs``."""

from pathlib import Path
from typing import Any

from c2fnas.data.dataset import Case, Dataset, LabelClass
from c2fnas.errors import UserError
from c2fnas.files import read_json

MANIFEST = "dataset.json"


class MsdLayout:
    """Reads ``dataset.json`` as the ten tasks write it: string or integer keys, test entries as strings or objects."""

    def recognises(self, path: Path) -> bool:
        """Whether there is a manifest with ``training`` entries."""
        manifest = path / MANIFEST
        return manifest.is_file() and "training" in _object(manifest)

    def load(self, path: Path) -> Dataset:
        """Read the manifest."""
        manifest = path / MANIFEST
        facts = _object(manifest)
        for key in ("labels", "modality"):
            if not isinstance(facts.get(key), dict) or not facts[key]:
                raise UserError(f"{manifest}: has no {key!r} object. Add one such as {EXAMPLES[key]}.")
        return Dataset(
            name=str(facts.get("name") or path.resolve().name), root=path, channels=_channels(facts["modality"]),
            classes=_classes(manifest, facts["labels"]),
            training=tuple(_case(path, manifest, entry, labelled=True) for entry in facts["training"]),
            test=tuple(_case(path, manifest, entry, labelled=False) for entry in facts.get("test", ())),
        )  # fmt: skip


EXAMPLES = {"labels": '{"0": "background", "1": "liver"}', "modality": '{"0": "CT"}'}


def _object(manifest: Path) -> dict[str, Any]:
    value = read_json(manifest)
    if not isinstance(value, dict):
        raise UserError(f"{manifest}: is not a JSON object.")
    return value


def _channels(modality: dict[Any, Any]) -> tuple[str, ...]:
    return tuple(str(modality[key]) for key in sorted(modality, key=int))


def _classes(manifest: Path, labels: dict[Any, Any]) -> tuple[LabelClass, ...]:
    try:
        classes = tuple(LabelClass(str(labels[key]), (int(key),)) for key in sorted(labels, key=int))
    except (TypeError, ValueError):
        raise UserError(f"{manifest}: the keys of 'labels' are whole numbers, such as {EXAMPLES['labels']}.") from None
    if classes[0].values != (0,):
        raise UserError(f"{manifest}: 'labels' has no 0, the background.")
    return classes


def _case(root: Path, manifest: Path, entry: Any, *, labelled: bool) -> Case:
    image = entry if isinstance(entry, str) else entry.get("image") if isinstance(entry, dict) else None
    label = entry.get("label") if labelled and isinstance(entry, dict) else None
    if not isinstance(image, str) or (labelled and not isinstance(label, str)):
        raise UserError(f"{manifest}: an entry has no image{' or no label' if labelled else ''}: {entry!r}.")
    return Case(case_id(image), (_inside(root, manifest, image),), _inside(root, manifest, label) if label else None)


def _inside(root: Path, manifest: Path, relative: str) -> Path:
    """The file of an entry; one outside the data set is refused."""
    path = root / relative
    if not path.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{manifest}: {relative!r} leads out of {root}. Entries stay within the data set's folder.")
    return path


def case_id(file: str) -> str:
    """A case's name: its file's, without folders and endings."""
    name = Path(file).name
    for ending in (".nii.gz", ".nii", ".nrrd", ".mha"):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return Path(name).stem
