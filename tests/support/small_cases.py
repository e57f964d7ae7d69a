"""Small cases in files, and plans for them."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from c2fnas.data.cache import Cache, prepare_cases
from c2fnas.data.dataset import Case, Dataset, LabelClass
from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan

CLASSES = (LabelClass("background", (0,)), LabelClass("organ", (1,)), LabelClass("lesion", (2,)))
MR = ChannelPlan(name="MRI", kind="mr")


def plan_of(**changes: Any) -> Plan:
    """A plan of one MR channel and three classes at 1 mm."""
    patch = changes.get("patch_size", (8, 8, 8))
    values: dict[str, Any] = {
        "channels": (MR,),
        "classes": tuple(ClassPlan(name=each.name, values=each.values) for each in CLASSES),
        "spacing": (1, 1, 1),
        "patch_size": patch,
        "stride": tuple(max(1, side // 2) for side in patch),
        "ranking_stride": patch,
    }
    return Plan(**values | changes)


def write_case(
    folder: Path,
    name: str = "a",
    shape: tuple[int, int, int] = (9, 11, 7),
    affine: np.ndarray | None = None,
    seed: int = 0,
    labelled: bool = True,
) -> Case:
    """A case of random intensities, with two boxes as its classes."""
    folder.mkdir(parents=True, exist_ok=True)
    matrix = np.eye(4) if affine is None else affine
    image = np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)
    label = np.zeros(shape, np.uint8)
    label[2:-2, 2:-2, 1:-1] = 1
    label[3:5, 3:5, 2:4] = 2
    paths = folder / f"{name}.nii.gz", folder / f"{name}_label.nii.gz"
    nibabel.save(nibabel.Nifti1Image(image, matrix), paths[0])
    nibabel.save(nibabel.Nifti1Image(label, matrix), paths[1])
    return Case(name, (paths[0],), paths[1] if labelled else None)


def dataset_of(
    root: Path, cases: tuple[Case, ...], channels: tuple[str, ...] = ("MRI",), name: str = "Small"
) -> Dataset:
    """A data set of ``cases``."""
    return Dataset(name, root, channels, CLASSES, cases, ())


def prepared(folder: Path, count: int = 5, plan: Plan | None = None) -> Cache:
    """``count`` prepared cases of different sizes."""
    cases = [write_case(folder / "raw", f"case{n}", (9 + n, 11, 7 + 2 * n), seed=n) for n in range(count)]
    return prepare_cases(cases, plan or plan_of(), folder / "cache")


def contents(cache: Cache) -> dict[str, bytes]:
    """The bytes of every file of a cache, by its path in it."""
    files = [path for path in cache.folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(cache.folder)): path.read_bytes() for path in files}
