"""Phantoms: generated cases with anatomy-like shapes, for the demo and the tests."""

from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from c2fnas.files import write_atomically, write_json

SPACING = (1.0, 1.0, 2.5)
ORIENTATIONS = ("RAS", "LPS", "RSA", "PIR", "LAS")


def write_phantoms(folder: Path, *, cases: int = 20, test_cases: int = 4, seed: int = 0) -> Path:
    """Write a data set in the Medical Segmentation Decathlon layout: an organ with a lesion, and a vessel beside it.

    Anisotropic voxels, noise, a bias field, varying sizes and orientations. Test cases have labels in ``labelsTs``.
    """
    names = {"Tr": [f"phantom_{number:03d}" for number in range(cases)],
             "Ts": [f"phantom_{number:03d}" for number in range(cases, cases + test_cases)]}  # fmt: skip
    for part, ids in names.items():
        for name in ids:
            image, label = phantom(np.random.default_rng((seed, int(name[-3:]))))
            _write(folder / f"images{part}" / f"{name}.nii.gz", image)
            _write(folder / f"labels{part}" / f"{name}.nii.gz", label)
    write_json(folder / "dataset.json", {
        "name": "Phantoms", "description": "Generated shapes", "tensorImageSize": "3D", "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "organ", "2": "lesion"}, "numTraining": cases, "numTest": test_cases,
        "training": [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names["Tr"]],
        "test": [f"./imagesTs/{n}.nii.gz" for n in names["Ts"]],
    })  # fmt: skip
    return folder


def phantom(rng: np.random.Generator) -> tuple[nibabel.Nifti1Image, nibabel.Nifti1Image]:
    """One image and its label."""
    shape = (*rng.integers(34, 46, 2), int(rng.integers(15, 23)))
    organ_distance, centre, radii = _ellipsoid(shape, rng)
    organ = organ_distance < 1
    lesion_centre = centre + rng.uniform(-0.35, 0.35, 3) * radii
    lesion = (_distance(shape, lesion_centre, radii * rng.uniform(0.3, 0.42)) < 1) & organ
    label = organ.astype(np.uint8) + lesion.astype(np.uint8)
    tissue = rng.normal(60, 8) + _smooth(shape, rng, 12)
    image = np.where(label == 2, tissue + 70, np.where(label == 1, tissue + 35, tissue))
    image = ndimage.gaussian_filter(image, 0.6) * (1 + 0.15 * _smooth(shape, rng, 1.0)) + rng.normal(0, 7, shape)
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = rng.uniform(-50, 50, 3)
    axcodes = ORIENTATIONS[int(rng.integers(len(ORIENTATIONS)))]
    return _turned(image.astype(np.float32), affine, axcodes), _turned(label, affine, axcodes)


def _ellipsoid(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distance field of a warped ellipsoid (1 at its surface), its centre and radii in millimetres."""
    extent = np.array(shape) * SPACING
    centre, radii = extent * rng.uniform(0.42, 0.58, 3), extent * rng.uniform(0.2, 0.3, 3)
    return _distance(shape, centre, radii) + 0.15 * _smooth(shape, rng, 1.0), centre, radii


def _distance(shape: tuple[int, ...], centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    grid = np.stack(np.meshgrid(*(np.arange(size) for size in shape), indexing="ij"), axis=-1) * SPACING
    return np.linalg.norm((grid - centre) / radii, axis=-1)


def _smooth(shape: tuple[int, ...], rng: np.random.Generator, amplitude: float) -> np.ndarray:
    """A smooth random field with a largest value of ``amplitude``."""
    field = ndimage.zoom(rng.normal(size=(4, 4, 4)), [size / 4 for size in shape], order=3)
    return amplitude * field / np.abs(field).max()


def _turned(array: np.ndarray, affine: np.ndarray, axcodes: str) -> nibabel.Nifti1Image:
    """The array stored in another orientation; what it shows stays where it is."""
    image = nibabel.Nifti1Image(array, affine)
    change = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(affine), nibabel.orientations.axcodes2ornt(tuple(axcodes))
    )
    return image.as_reoriented(change)


def _write(path: Path, image: nibabel.Nifti1Image) -> None:
    write_atomically(path, lambda temporary: nibabel.save(image, temporary))
