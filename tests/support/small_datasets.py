"""A small data set in the Decathlon's layout, to be spoilt in one way or another, and the check's answer to it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from small_cases import write_case
from typer.testing import CliRunner

from c2fnas.cli import app

LABELS = {"0": "background", "1": "organ", "2": "lesion"}
IDS = ("a", "b", "c", "d", "e")


def write_dataset(folder: Path, **changes: Any) -> Path:
    """Five sound cases and their manifest, with ``changes`` to it."""
    for seed, name in enumerate(IDS):
        write_case(folder, name, seed=seed)
    manifest: dict[str, Any] = {
        "name": "Small",
        "modality": {"0": "MRI"},
        "labels": LABELS,
        "numTraining": len(IDS),
        "training": [{"image": f"./{name}.nii.gz", "label": f"./{name}_label.nii.gz"} for name in IDS],
        "test": [],
    }
    (folder / "dataset.json").write_text(json.dumps(manifest | changes))
    return folder


@dataclass(frozen=True)
class Answer:
    """The check's exit code and what it printed as JSON."""

    code: int
    content: dict[str, Any]

    @property
    def problems(self) -> list[dict[str, str]]:
        """The problems, each with its six fields."""
        return self.content["problems"]


def checked(path: Path, *options: str) -> Answer:
    """``c2fnas check PATH --json``."""
    result = CliRunner().invoke(app, ["check", str(path), "--json", *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, json.loads(result.stdout))


def resave(path: Path, change: Callable[[np.ndarray], np.ndarray], affine: np.ndarray | None = None) -> None:
    """Write a NIfTI file again with other voxels, in their own data type, or another affine."""
    image = nibabel.load(path)
    array = change(np.asanyarray(image.dataobj))
    matrix = image.affine if affine is None else affine
    path.unlink()
    nibabel.save(nibabel.Nifti1Image(array, matrix, dtype=array.dtype), path)


def reheader(path: Path, **fields: Any) -> None:
    """Set raw fields of a NIfTI file's header, whatever they do to it."""
    import gzip

    packed = path.suffix == ".gz"
    content = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    header = nibabel.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(content)) if packed else bytes(content))
