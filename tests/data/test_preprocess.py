"""Preparation against numpy on small cases."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from small_cases import plan_of, write_case

from c2fnas.data.cache import prepare_cases
from c2fnas.data.normalisation import moments, normalise
from c2fnas.data.plan import ChannelPlan
from c2fnas.data.preprocess import prepare_image, prepared_shape, through_plane
from c2fnas.data.problem import CaseError
from c2fnas.data.volume import read_image

CT = ChannelPlan(name="CT", kind="ct", clip=(-100, 200), mean=50, std=25)


def test_mr_is_standardised_by_its_own_volume() -> None:
    values = np.random.default_rng(0).normal(1e6, 3e5, (5, 6, 7)).astype(np.float32)
    expected = (values - values.mean(dtype=np.float64)) / values.std(dtype=np.float64)
    normalise(values, ChannelPlan(name="T1", kind="mr"), moments(values))
    assert np.allclose(values, expected, atol=1e-5)


def test_ct_is_clipped_and_standardised_by_the_plan() -> None:
    values = np.array([-1000, -100, 50, 200, 3000], np.float32).reshape(5, 1, 1)
    normalise(values, CT, moments(values))
    assert values.ravel().tolist() == [-6, -6, 0, 6, 6]


@pytest.mark.parametrize("value", [0.0, 7.0, 1.7e6, 0.1])
def test_a_constant_volume_becomes_zero(value: float) -> None:
    values = np.full((4, 5, 6), value, np.float32)
    normalise(values, ChannelPlan(name="T1", kind="mr"), moments(values))
    assert not values.any()


def test_native_resolution_only_turns_the_axes(tmp_path: Path) -> None:
    case = write_case(tmp_path, affine=np.diag([-1.0, 1, 1, 1]))
    image, way = prepare_image(case.images, plan_of(axes=(2, 0, 1)))
    original = read_image(case.images).array[0][::-1].transpose(2, 0, 1)
    assert np.allclose(image[0], (original - original.mean()) / original.std(), atol=1e-5)
    assert way.shape == (7, 9, 11)


def test_spacing_decides_the_shape(tmp_path: Path) -> None:
    case = write_case(tmp_path, shape=(10, 12, 5), affine=np.diag([0.5, 0.5, 3, 1]))
    image, way = prepare_image(case.images, plan_of())
    assert image.shape == (1, 5, 6, 15)
    assert way.crop_shape == (10, 12, 5)
    assert prepare_image(case.images, plan_of(spacing=None, resize=(8, 8, 8)))[0].shape == (1, 8, 8, 8)


def test_a_volume_never_vanishes() -> None:
    assert prepared_shape((1, 2, 300), (0.1, 0.1, 0.1), plan_of()) == (1, 1, 30)


@pytest.mark.parametrize(
    ("case", "target", "axis"),
    [((1, 1, 1), (1, 1, 1), None), ((1, 1, 5), (1, 1, 1), 2), ((1, 1, 1), (4, 1, 1), 0), ((5, 5, 1), (1, 1, 1), None)],
)
def test_one_axis_far_coarser_than_the_others_is_separate(
    case: tuple[float, ...], target: tuple[float, ...], axis: int | None
) -> None:
    assert through_plane(case, plan_of(spacing=target, nearest_beyond=3)) == axis
    assert through_plane(case, plan_of(spacing=target)) is None


def test_crop_to_nonzero_and_back(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    inside = np.zeros((9, 11, 7), np.float32)
    inside[2:8, 1:10, 3:5] = np.random.default_rng(0).uniform(1, 2, (6, 9, 2))
    nibabel.save(nibabel.Nifti1Image(inside, np.eye(4)), case.images[0])
    found = prepare_cases([case], plan_of(crop_nonzero=True), tmp_path / "cache")["a"]
    assert found.image.shape == (1, 6, 9, 2)
    restored = found.restoration.labels(np.asarray(found.label))
    expected = np.zeros_like(restored)
    expected[2:8, 1:10, 3:5] = found.truth[2:8, 1:10, 3:5]
    assert np.array_equal(restored, expected)
    assert found.truth.shape == (9, 11, 7)


def test_an_empty_volume_is_not_cropped(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 11, 7), np.float32), np.eye(4)), case.images[0])
    assert prepare_image(case.images, plan_of(crop_nonzero=True))[0].shape == (1, 9, 11, 7)


def test_a_volume_that_no_memory_holds_once_resampled_is_refused(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    with pytest.raises(CaseError, match=r"9000000×11000000×7000000 voxels after resampling from a spacing of 1×1×1 mm"):
        prepare_image(case.images, plan_of(spacing=(1e-6, 1e-6, 1e-6)))


def test_a_resampled_volume_may_take_what_is_free_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free, not all there is: other processes and the container have their part."""
    case, plan = write_case(tmp_path), plan_of(spacing=(0.5, 1, 1))
    needed = 4 * 18 * 11 * 7
    monkeypatch.setattr("c2fnas.data.preprocess.free_memory", lambda: needed)
    assert prepare_image(case.images, plan)[0].nbytes == needed
    monkeypatch.setattr("c2fnas.data.preprocess.free_memory", lambda: needed - 1)
    with pytest.raises(CaseError, match=rf"{needed:,} bytes, expected at most {needed - 1:,} bytes.*that is free"):
        prepare_image(case.images, plan)
    with pytest.raises(CaseError, match="free some memory, or plan a coarser grid"):
        prepare_cases([case], plan, tmp_path / "cache")


def test_a_channel_too_few_names_the_channels(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    with pytest.raises(CaseError, match=r"1 channels.*2 \(T2, ADC\)"):
        prepare_image(case.images, plan_of(channels=[{"name": "T2", "kind": "mr"}, {"name": "ADC", "kind": "mr"}]))


def test_a_label_on_another_grid_is_refused(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    other = write_case(tmp_path, "b", affine=np.diag([1.0, 1, 1.1, 1]))
    with pytest.raises(CaseError, match="affine"):
        prepare_cases([type(case)("a", case.images, other.label)], plan_of(), tmp_path / "cache")
