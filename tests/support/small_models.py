"""Small models in packages, and cases in files for them."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from scipy import ndimage
from torch import nn

from c2fnas import Architecture, build_network
from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan
from c2fnas.inference.package import save_package

ARCHITECTURE = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")


def small_plan(**changes: Any) -> Plan:
    """A plan of one MR channel, three classes (label values 0, 2 and 5) and patches of 8³."""
    names = {"background": (0,), "organ": (2, 3), "lesion": (5,)}
    values: dict[str, Any] = {
        "channels": (ChannelPlan(name="MRI", kind="mr"),),
        "classes": tuple(ClassPlan(name=name, values=each) for name, each in names.items()),
        "spacing": (1.0, 1.0, 1.0),
        "patch_size": (8, 8, 8),
        "stride": (4, 4, 4),
        "ranking_stride": (8, 8, 8),
    }
    return Plan(**values | changes)


PLAN = small_plan()


def save_small_model(
    folder: Path, seed: int = 0, plan: Plan = PLAN, classes: int | None = None, mirror: bool = False
) -> nn.Module:
    """Save a package with random weights; returns its network."""
    torch.manual_seed(seed)
    network = build_network(ARCHITECTURE, in_channels=len(plan.channels), classes=classes or len(plan.classes))
    save_package(folder, network, ARCHITECTURE, plan, card="# Small", weighting="constant", mirror=mirror)
    return network


def write_image(
    path: Path,
    shape: tuple[int, int, int] = (9, 11, 7),
    seed: int = 0,
    affine: np.ndarray | None = None,
    dtype: type = np.int16,
) -> np.ndarray:
    """Write random intensities, low in frequency so that networks find structure; returns the array."""
    coarse = np.random.default_rng(seed).normal(100, 30, (4, 4, 4))
    array = ndimage.zoom(coarse, [n / 4 for n in shape], order=1, grid_mode=True, mode="nearest").astype(dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return array


def write_labels(path: Path, image: np.ndarray, affine: np.ndarray | None = None) -> np.ndarray:
    """Write values 0, 2 and 5 by the thirds of an image's intensities; returns the array."""
    label = np.array([0, 2, 5], np.uint8)[np.digitize(image, np.quantile(image, [1 / 3, 2 / 3]))]
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(label, np.eye(4) if affine is None else affine), path)
    return label
