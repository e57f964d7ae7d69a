"""Phantoms: generated cases with anatomy-like shapes, for the demo and for tests. No download, no licence.

An organ, a warped ellipsoid, holds a smaller lesion; a vessel as bright as the lesion runs beside it and belongs to
neither class, so that intensities alone do not give the answer.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy import ndimage

from c2fnas.files import write_atomically, write_json

CLASSES = ("background", "organ", "lesion")
ORIENTATIONS = ("RAS", "LPS", "LAS", "RSA", "PIR", "SAL")
THROUGH_PLANE = 2.5
TISSUE, ORGAN, LESION, VESSEL = 60.0, 100.0, 145.0, 140.0
NOISE = 7.0
BIAS = 0.15


@dataclass(frozen=True)
class Phantom:
    """An image ``[i, j, k]`` float32 with its class indices uint8, along canonical axes, and the affine of both."""

    image: np.ndarray
    label: np.ndarray
    affine: np.ndarray


def write_phantoms(folder: Path, *, cases: int = 20, test_cases: int = 4, seed: int = 0) -> Path:
    """Write phantoms in the Medical Segmentation Decathlon's layout, and return the folder.

    Sizes, in-plane spacings (about 1 mm; 2.5 mm through the slices) and orientations vary. Cases in ``imagesTs`` have
    their labels in ``labelsTs``, to evaluate predictions with. The manifest is written last.
    """
    ids = [f"phantom_{number:03d}" for number in range(cases + test_cases)]
    for number, name in enumerate(ids):
        part = "Tr" if number < cases else "Ts"
        rng = np.random.default_rng((seed, number))
        phantom = make_phantom(rng)
        axcodes = ORIENTATIONS[int(rng.integers(len(ORIENTATIONS)))]
        _write(folder / f"images{part}" / f"{name}.nii.gz", phantom.image, phantom.affine, axcodes)
        _write(folder / f"labels{part}" / f"{name}.nii.gz", phantom.label, phantom.affine, axcodes)
    write_json(folder / "dataset.json", _manifest(ids[:cases], ids[cases:]))
    return folder


def make_phantom(rng: np.random.Generator) -> Phantom:
    """One phantom, of 36 to 48 voxels in the plane and 16 to 24 slices."""
    shape = (int(rng.integers(36, 49)), int(rng.integers(36, 49)), int(rng.integers(16, 25)))
    spacing = np.array([*[rng.uniform(0.9, 1.1)] * 2, THROUGH_PLANE])
    places = _warped_places(shape, spacing, rng)
    extent = np.array(shape) * spacing
    centre, radii = extent * rng.uniform(0.42, 0.58, 3), extent * rng.uniform(0.22, 0.3, 3)
    inner = centre + rng.uniform(-0.35, 0.35, 3) * radii
    organ = _ellipsoid(places, centre, radii)
    lesion = organ & _ellipsoid(places, inner, radii * rng.uniform(0.38, 0.5, 3))
    vessel = _tube(places, centre, radii, rng) & ~organ
    values = np.select([lesion, organ, vessel], [LESION, ORGAN, VESSEL], TISSUE)
    return Phantom(_scanned(values, rng), organ.astype(np.uint8) + lesion, _affine(spacing, rng))


def _warped_places(shape: tuple[int, int, int], spacing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every voxel's position in millimetres, displaced by a smooth field, ``[i, j, k, 3]``."""
    grid = np.stack(np.meshgrid(*(np.arange(size) for size in shape), indexing="ij"), axis=-1) * spacing
    return grid + np.stack([4.0 * _smooth_field(shape, rng) for _ in range(3)], axis=-1)


def _ellipsoid(places: np.ndarray, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    return np.square((places - centre) / radii).sum(axis=-1) < 1


def _tube(places: np.ndarray, centre: np.ndarray, radii: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A tube of 3 mm radius through the slices, beside the organ."""
    angle = rng.uniform(0, 2 * np.pi)
    beside = centre[:2] + 1.25 * radii[:2] * (np.cos(angle), np.sin(angle))
    return np.square(places[..., :2] - beside).sum(axis=-1) < 3.0**2


def _scanned(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blurred at the borders, under a bias field, scaled as scanners do at will, with noise."""
    image = ndimage.gaussian_filter(values, (0.6, 0.6, 0.3)) * (1 + BIAS * _smooth_field(values.shape, rng))
    image += rng.normal(0, NOISE, values.shape)
    return np.asarray(image * rng.uniform(0.5, 20), dtype=np.float32)


def _smooth_field(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A random field of a few hills, between -1 and 1."""
    field = ndimage.zoom(rng.normal(size=(4, 4, 4)), [size / 4 for size in shape], order=3)
    return field / np.abs(field).max()


def _affine(spacing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = rng.uniform(-50, 50, 3)
    return affine


def _write(path: Path, array: np.ndarray, affine: np.ndarray, axcodes: str) -> None:
    """Store the array along the axes ``axcodes``; what it shows stays where it is."""
    image = nibabel.Nifti1Image(array, affine)
    turned = image.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt(tuple(axcodes))))
    write_atomically(path, lambda temporary: nibabel.save(turned, temporary))


def _manifest(training: list[str], test: list[str]) -> dict[str, Any]:
    return {
        "name": "Phantoms",
        "description": "Generated shapes: an organ with a lesion",
        "licence": "CC0-1.0",
        "tensorImageSize": "3D",
        "modality": {"0": "MRI"},
        "labels": {str(index): name for index, name in enumerate(CLASSES)},
        "numTraining": len(training),
        "numTest": len(test),
        "training": [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in training],
        "test": [f"./imagesTs/{name}.nii.gz" for name in test],
    }
