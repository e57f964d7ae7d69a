"""A super-network and prepared cases of all kinds: resampled or not, turned, smaller and larger than a window."""

from pathlib import Path

import nibabel
import numpy as np
import torch

from c2fnas.data.cache import Cache, prepare_cases
from c2fnas.data.dataset import Case
from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan
from c2fnas.data.scheme import LabelScheme
from c2fnas.networks import SuperNetwork
from c2fnas.space.topology import Topology

SCHEME = LabelScheme.of("background", "organ", "lesion")
PATCH = (12, 10, 8)


def plan() -> Plan:
    """One MR channel, three classes, 1 mm."""
    return Plan(
        channels=(ChannelPlan(name="MRI", kind="mr"),),
        classes=tuple(ClassPlan(name=each.name, values=each.values) for each in SCHEME.classes),
        spacing=(1, 1, 1),
        patch_size=PATCH,
        stride=PATCH,
        ranking_stride=PATCH,
    )


def write_case(folder: Path, name: str, shape: tuple[int, int, int], affine: np.ndarray, empty: bool = False) -> Case:
    """Two boxes, bright and brighter, in noise; or noise alone."""
    folder.mkdir(parents=True, exist_ok=True)
    label = np.zeros(shape, np.uint8)
    if not empty:
        label[1:-2, 2:-1, 1:-1] = 1
        label[2:4, 3:5, 2:4] = 2
    image = 20 * np.random.default_rng(len(name)).standard_normal(shape) + 40 * label
    paths = folder / f"{name}.nii.gz", folder / f"{name}_label.nii.gz"
    nibabel.save(nibabel.Nifti1Image(image.astype(np.float32), affine), paths[0])
    nibabel.save(nibabel.Nifti1Image(label, affine), paths[1])
    return Case(name, (paths[0],), paths[1])


def prepared(folder: Path) -> Cache:
    """Five cases: one window; two windows; resampled and turned; smaller than a window; many windows."""
    turned = np.array([[0, -1.3, 0, 5], [0.8, 0, 0, -3], [0, 0, 2.0, 1], [0, 0, 0, 1]])
    shapes = {"aa": (12, 10, 8), "bbb": (14, 10, 7), "cccc": (9, 11, 6), "ddddd": (6, 7, 5), "eeeeee": (20, 13, 9)}
    cases = [
        write_case(folder / "raw", name, shape, turned if name == "cccc" else np.eye(4))
        for name, shape in shapes.items()
    ]
    return prepare_cases(cases, plan(), folder / "cache")


def supernet(seed: int = 0) -> SuperNetwork:
    """A small one; its classes are about equally likely, so that labels are no constant."""
    torch.manual_seed(seed)
    return SuperNetwork(Topology((0, 1, 1, 0, 0)), in_channels=1, classes=3, width=0.125)
