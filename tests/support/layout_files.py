"""One small data set of two channels, written in every layout and format by other programs than ours."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import itk
import nibabel
import nrrd
import numpy as np

Write = Callable[[Path, np.ndarray, np.ndarray], None]

CHANNELS = ("T2", "ADC")
LABELS = {"background": 0, "organ": [1, 4], "lesion": 2}
CLASSES = (("background", (0,)), ("organ", (1, 4)), ("lesion", (2,)))
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Truth:
    """A case as it is meant: ``image`` float32 ``[i, j, k, channels]``, stored ``label`` values and the RAS affine."""

    id: str
    image: np.ndarray
    label: np.ndarray
    affine: np.ndarray


def truths(channels: int = 2) -> tuple[Truth, ...]:
    """Six cases of different sizes, turned axes and oblique directions, in no alphabetical order."""
    return tuple(_truth(name, number, channels) for number, name in enumerate(("c", "a", "b", "f", "e", "d")))


def _truth(name: str, number: int, channels: int) -> Truth:
    rng = np.random.default_rng(number)
    shape = (9 + number, 8, 7)
    image = rng.integers(0, 1800, (*shape, channels)).astype(np.float32)
    label = rng.choice(np.array([0, 1, 2, 4], np.uint8), shape)
    turn = np.eye(3)[:, [(0, 1, 2), (1, 0, 2), (2, 0, 1)][number % 3]]
    angle = 0.1 * number
    tilt = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, -1.0]])
    affine = np.eye(4)
    affine[:3, :3] = tilt @ turn * (0.75, 1.25, 2.5)
    affine[:3, 3] = (12.5, -30.25, 7)
    return Truth(name, image, label, affine)


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """By nibabel, channels last."""
    image = nibabel.Nifti1Image(array, affine, dtype=array.dtype)
    image.set_qform(affine)
    nibabel.save(image, path)


def write_nrrd(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """By pynrrd, channels first, in LPS."""
    lps = FLIP @ affine
    header: dict[str, Any] = {"space": "left-posterior-superior", "space origin": lps[:3, 3], "encoding": "gzip"}
    directions = lps[:3, :3].T
    if array.ndim == 4:
        array = np.moveaxis(array, -1, 0)
        header |= {"kinds": ["list", *["domain"] * 3]}
        directions = np.concatenate([np.full((1, 3), np.nan), directions])
    nrrd.write(str(path), array, header | {"space directions": directions})


def write_mha(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """By ITK, a vector in every voxel, in LPS."""
    lps = FLIP @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    order = (2, 1, 0, 3)[: array.ndim]
    image = itk.image_from_array(np.ascontiguousarray(array.transpose(order)), is_vector=array.ndim == 4)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(lps[:3, :3] / spacing)))
    itk.imwrite(image, str(path), compression=path.suffix == ".mha")


FORMATS: dict[str, Write] = {".nii.gz": write_nifti, ".nrrd": write_nrrd, ".mha": write_mha}


def write_msd(root: Path, suffix: str, cases: Sequence[Truth], *, split: bool) -> Path:
    """The Decathlon's layout; the last case is a test case."""

    def image(case: Truth, part: str) -> str | list[str]:
        names = _write_image(root / f"images{part}", case, suffix, split)
        paths = [f"./images{part}/{name}" for name in names]
        return paths if split else paths[0]

    entries = []
    for case in cases[:-1]:
        _write(root / "labelsTr" / f"{case.id}{suffix}", case.label, case.affine)
        label = f"./labelsTr/{case.id}{suffix}"
        entries.append({"image": image(case, "Tr"), "label": label})
    test = image(cases[-1], "Ts")
    modality = {str(index): name for index, name in enumerate(_channels(cases))}
    content = {
        "name": "Small",
        "modality": modality,
        "labels": LABELS,
        "training": entries,
        "test": [{"image": test} if split else test],
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def write_nnunet(root: Path, suffix: str, cases: Sequence[Truth], *, split: bool) -> Path:
    """nnU-Net's raw layout, always a file per channel."""
    for case in cases[:-1]:
        _write_image(root / "imagesTr", case, suffix, True)
        _write(root / "labelsTr" / f"{case.id}{suffix}", case.label, case.affine)
    _write_image(root / "imagesTs", cases[-1], suffix, True)
    content = {
        "name": "Small",
        "channel_names": {str(i): name for i, name in enumerate(_channels(cases))},
        "labels": LABELS,
        "numTraining": len(cases) - 1,
        "file_ending": suffix,
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def write_table(root: Path, suffix: str, cases: Sequence[Truth], *, split: bool) -> Path:
    """A CSV with a JSON that names labels and, where one file has all of them, channels."""
    columns = [f"image_{name}" for name in _channels(cases)] if split else ["image"]
    rows = []
    for case in cases:
        names = _write_image(root / "files", case, suffix, split)
        _write(root / "files" / f"{case.id}_label{suffix}", case.label, case.affine)
        label = f"files/{case.id}_label{suffix}" if case is not cases[-1] else ""
        rows.append([case.id, *(f"files/{name}" for name in names), label, "" if label else "test"])
    with (root / "Small.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", *columns, "label", "split"], *rows])
    channels = {} if split else {"channels": list(_channels(cases))}
    (root / "Small.json").write_text(json.dumps({"labels": LABELS} | channels))
    return root / "Small.csv"


LAYOUTS: dict[str, Callable[..., Path]] = {"msd": write_msd, "nnunet": write_nnunet, "table": write_table}


def _channels(cases: Sequence[Truth]) -> tuple[str, ...]:
    return CHANNELS[: cases[0].image.shape[-1]]


def _write_image(folder: Path, case: Truth, suffix: str, split: bool) -> list[str]:
    """A file per channel, or one file; of three axes where there is one channel alone."""
    channels = case.image.shape[-1]
    if not split:
        _write(folder / f"{case.id}{suffix}", case.image if channels > 1 else case.image[..., 0], case.affine)
        return [f"{case.id}{suffix}"]
    names = [f"{case.id}_{index:04d}{suffix}" for index in range(channels)]
    for index, name in enumerate(names):
        _write(folder / name, case.image[..., index], case.affine)
    return names


def _write(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = next(suffix for suffix in FORMATS if path.name.endswith(suffix))
    FORMATS[suffix](path, np.ascontiguousarray(array), affine)
