"""Phantoms are what the demo promises: two classes, anisotropic, of varying size and orientation, always the same."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from c2fnas.data.cache import prepare_cases
from c2fnas.data.dataset import Dataset
from c2fnas.data.layouts import load_dataset
from c2fnas.data.phantoms import THROUGH_PLANE, make_phantom, write_phantoms
from c2fnas.data.scan import scan_dataset
from c2fnas.data.volume import read_image, read_label
from c2fnas.planning.plan import make_plan


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_phantoms(tmp_path_factory.mktemp("phantoms"), cases=8, test_cases=2))


def test_the_layout_is_read_as_a_decathlon_task(phantoms: Dataset) -> None:
    assert [each.name for each in phantoms.classes] == ["background", "organ", "lesion"]
    assert (len(phantoms.training), len(phantoms.test)) == (8, 2)
    for case in phantoms.test:
        label = phantoms.root / "labelsTs" / case.images[0].name
        assert read_label(label, phantoms.classes)[1] == read_image(case.images).geometry


def test_every_case_has_both_classes_and_the_lesion_lies_within_the_organ(phantoms: Dataset) -> None:
    for case in phantoms.training:
        label, _ = read_label(case.label, phantoms.classes)
        counts = np.bincount(label.ravel(), minlength=3) / label.size
        assert 0.01 < counts[1] < 0.3
        assert 0.001 < counts[2] < counts[1]


def test_cases_vary(phantoms: Dataset) -> None:
    geometries = [read_image(case.images).geometry for case in phantoms.training]
    assert len({geometry.shape for geometry in geometries}) > 5
    assert len({nibabel.aff2axcodes(geometry.matrix) for geometry in geometries}) > 2
    assert all(max(geometry.spacing) == pytest.approx(THROUGH_PLANE, abs=1e-5) for geometry in geometries)


def test_intensities_tell_the_organ_but_not_the_lesion_alone() -> None:
    phantom = make_phantom(np.random.default_rng(0))
    means = [phantom.image[phantom.label == index].mean() for index in range(3)]
    assert means[0] < means[1] < means[2]
    bright = phantom.image > (means[1] + means[2]) / 2
    vessel = bright & (phantom.label == 0)
    assert vessel.sum() > (phantom.label == 2).sum() / 4


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "a", cases=1, test_cases=1, seed=5)
    write_phantoms(tmp_path / "b", cases=1, test_cases=1, seed=5)
    write_phantoms(tmp_path / "c", cases=1, test_cases=1, seed=6)
    first, again, other = (nibabel.load(tmp_path / n / "imagesTr" / "phantom_000.nii.gz").get_fdata() for n in "abc")
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_through_the_plan_slices_come_last_and_truth_comes_back(phantoms: Dataset, tmp_path: Path) -> None:
    plan = make_plan(scan_dataset(phantoms).fingerprint, style="planned")
    assert plan.axes == (0, 1, 2)
    assert plan.spacing[2] == pytest.approx(THROUGH_PLANE)
    cache = prepare_cases(phantoms.training, plan, tmp_path / "cache", workers=2)
    for name in cache.ids:
        case = cache[name]
        restored = case.restoration.labels(np.asarray(case.label))
        overlap = 2 * ((restored == 2) & (case.truth == 2)).sum() / ((restored == 2).sum() + (case.truth == 2).sum())
        assert overlap > 0.9
