"""Volumes smaller than the patch, and of any odd size: sound, planned, padded, and cropped back to the voxel."""

import json

import nibabel
import numpy as np
import pytest
import torch
from small_datasets import checked
from torch import Tensor, nn

from c2fnas.data.cache import Cache, prepare_cases
from c2fnas.data.layouts import load_dataset
from c2fnas.data.patches import PatchSampler
from c2fnas.data.scan import scan_dataset
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.planning.plan import make_plan

SHAPES = ((33, 29, 17), (1, 1, 1), (3, 40, 2), (7, 5, 1), (16, 17, 18))
PATCH = (16, 24, 16)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """A volume of each shape, bright where its label is, checked and prepared at its own resolution."""
    root = tmp_path_factory.mktemp("small")
    entries = []
    for number, shape in enumerate(SHAPES):
        label = np.random.default_rng(number).integers(0, 2, shape).astype(np.uint8)
        label.flat[0], label.flat[-1] = 0, 1
        for name, array in ((f"{number}", label * np.float32(100) - 50), (f"{number}_label", label)):
            nibabel.save(nibabel.Nifti1Image(array, np.diag([-1.0, 1, 1, 1])), root / f"{name}.nii.gz")
        entries.append({"image": f"{number}.nii.gz", "label": f"{number}_label.nii.gz"})
    manifest = {"name": "Tiny", "modality": {"0": "MRI"}, "labels": {"0": "background", "1": "organ"}}
    (root / "dataset.json").write_text(json.dumps(manifest | {"training": entries}))
    answer = checked(root)
    assert (answer.code, answer.problems) == (0, [])
    dataset = load_dataset(root)
    plan = make_plan(scan_dataset(dataset).fingerprint, style="planned")
    assert all(side % 8 == 0 for side in plan.patch_size)
    return prepare_cases(dataset.training, plan, root / "cache")


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_a_patch_holds_the_whole_of_a_smaller_volume_and_zeros(number: int, cache: Cache) -> None:
    case = cache[str(number)]
    sampler = PatchSampler([case], patch_size=PATCH, volumes=1, patches_per_volume=2, seed=0, foreground_rate=1)
    batch = sampler.batch(0)
    assert batch.image.shape == (2, 1, *PATCH)
    assert batch.label.shape == (2, *PATCH)
    if all(size <= side for size, side in zip(case.image.shape[1:], PATCH, strict=True)):
        assert batch.label[0].sum() == np.asarray(case.label).sum()
        assert torch.allclose(batch.image[0].abs().sum(), torch.from_numpy(np.abs(np.asarray(case.image))).sum())


class Bright(nn.Module):
    """Scores that say whether a voxel is bright."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([-image, image], dim=1)


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_a_prediction_comes_back_in_the_volumes_own_size(number: int, cache: Cache) -> None:
    case = cache[str(number)]
    window = SlidingWindow(PATCH, (8, 12, 8), "gaussian")
    labels = window.labels(Bright(), np.asarray(case.image), device="cpu")
    assert labels.shape == case.image.shape[1:]
    restored = case.restoration.labels(labels)
    assert restored.shape == SHAPES[number]
    if np.asarray(case.image).any():  # a single voxel is a constant volume, which becomes zero
        assert np.array_equal(restored, np.asarray(case.truth))
