"""The data of `preprocessing.py`: a phantom of a CT's size, and any Decathlon data set in nnU-Net's layout."""

import json
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (512, 512, 300)
SPACING = (0.8, 0.8, 1.25)
AIR, TISSUE, ORGAN, LESION = -1000, 40, 110, 70
NOISE = 12.0
CLASSES = ("background", "organ", "lesion")


def write_phantom(folder: Path, shape: tuple[int, int, int] = SHAPE) -> Path:
    """Write one case of ``shape`` in the Decathlon's layout: int16 Hounsfield units, stored left-posterior-superior."""
    import nibabel

    manifest = folder / "dataset.json"
    if manifest.exists():
        return folder
    image, label = phantom(shape)
    affine = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    for name, array in (("imagesTr", image), ("labelsTr", label)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(array, affine), folder / name / "phantom_000.nii.gz")
    files = {"image": "./imagesTr/phantom_000.nii.gz", "label": "./labelsTr/phantom_000.nii.gz"}
    about = {
        "name": "Large phantom",
        "modality": {"0": "CT"},
        "labels": {str(i): name for i, name in enumerate(CLASSES)},
        "numTraining": 1,
        "numTest": 0,
        "training": [files],
        "test": [],
    }
    manifest.write_text(json.dumps(about))
    return folder


def phantom(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Image int16 and label uint8 ``[i, j, k]``, slice by slice: a body in air, an organ in it, a lesion in that."""
    rng = np.random.default_rng(0)
    image, label = np.empty(shape, np.int16, order="F"), np.empty(shape, np.uint8, order="F")
    for k in range(shape[2]):
        body, organ, lesion = (
            _inside(shape, k, centre, radii)
            for centre, radii in (
                ((0.5, 0.5, 0.5), (0.42, 0.32, 0.9)),
                ((0.4, 0.5, 0.5), (0.17, 0.14, 0.3)),
                ((0.42, 0.52, 0.55), (0.05, 0.05, 0.08)),
            )
        )
        values = np.select([lesion, organ, body], [LESION, ORGAN, TISSUE], AIR)
        image[..., k] = np.rint(values + rng.normal(0, NOISE, shape[:2]) * (body + 0.3))
        label[..., k] = organ.astype(np.uint8) + lesion
    return image, label


def _inside(shape: tuple[int, int, int], k: int, centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """Which voxels of slice ``k`` lie in an ellipsoid; centre and radii are shares of the volume."""
    i, j = np.ogrid[: shape[0], : shape[1]]
    places = zip((i, j, k), shape, centre, radii, strict=True)
    squares: Any = sum(((place / size - middle) / radius) ** 2 for place, size, middle, radius in places)
    return squares < 1


def write_nnunet(source: Path, raw: Path, identifier: int) -> str:
    """Link the training cases of a Decathlon data set into nnU-Net's layout; returns the data set's name there."""
    about = json.loads((source / "dataset.json").read_text())
    name = f"Dataset{identifier:03d}_Benchmark"
    for case in about["training"]:
        stem = Path(case["image"]).name.removesuffix(".nii.gz")
        _link(source / case["image"], raw / name / "imagesTr" / f"{stem}_0000.nii.gz")
        _link(source / case["label"], raw / name / "labelsTr" / f"{stem}.nii.gz")
    manifest = {
        "channel_names": about["modality"],
        "labels": {text: int(value) for value, text in about["labels"].items()},
        "numTraining": len(about["training"]),
        "file_ending": ".nii.gz",
    }
    (raw / name / "dataset.json").write_text(json.dumps(manifest))
    return name


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        target.symlink_to(source.resolve())
