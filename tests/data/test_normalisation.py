"""Normalisation against numpy: statistics of the training cases alone, applied where an image is read."""

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from small_cases import plan_of, prepared, write_case

from c2fnas.data import normalisation
from c2fnas.data.cache import Cache, prepare_cases
from c2fnas.data.normalisation import NormalisedImage, foreground_places, moments, normalise, with_statistics
from c2fnas.data.patches import PatchSampler, crop
from c2fnas.data.plan import ChannelPlan
from c2fnas.data.volume import read_image

CT = ChannelPlan(name="CT", kind="ct")
GIVEN = ChannelPlan(name="CT", kind="ct", clip=(-100, 200), mean=50, std=25)
MR = ChannelPlan(name="T1", kind="mr")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return prepared(tmp_path, 4, plan_of(channels=(CT,)))


def foreground(folder: Path, names: list[str]) -> np.ndarray:
    """Every foreground voxel of some cases, straight from their files."""
    return np.concatenate(
        [
            np.asanyarray(nibabel.load(folder / "raw" / f"{name}.nii.gz").dataobj)[
                np.asanyarray(nibabel.load(folder / "raw" / f"{name}_label.nii.gz").dataobj) > 0
            ]
            for name in names
        ]
    )


@pytest.mark.parametrize("training", [["case0", "case1", "case2"], ["case3"]])
def test_statistics_are_those_of_the_folds_training_cases(cache: Cache, training: list[str], tmp_path: Path) -> None:
    (channel,) = cache.fold_channels((CT,), training)
    values = foreground(tmp_path, training)
    assert channel.clip == pytest.approx(np.percentile(values, [0.5, 99.5]), rel=1e-6)
    assert (channel.mean, channel.std) == pytest.approx((values.mean(), values.std()), rel=1e-6)


def test_validation_cases_do_not_enter(cache: Cache, tmp_path: Path) -> None:
    before = cache.fold_channels((CT,), ["case0", "case1"])
    path = tmp_path / "raw" / "case3.nii.gz"
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(image.dataobj) + 1000, image.affine), path)
    again = prepared_again(tmp_path)
    assert again.fold_channels((CT,), ["case0", "case1"]) == before
    assert again.fold_channels((CT,), ["case0", "case3"]) != cache.fold_channels((CT,), ["case0", "case2"])


def prepared_again(folder: Path) -> Cache:
    """The cases of the folder as they are now."""
    from c2fnas.data.dataset import Case

    raw = folder / "raw"
    cases = [Case(f"case{n}", (raw / f"case{n}.nii.gz",), raw / f"case{n}_label.nii.gz") for n in range(4)]
    return prepare_cases(cases, plan_of(channels=(CT,)), folder / "cache")


def test_numbers_that_are_given_hold_for_every_fold_and_read_nothing() -> None:
    def unread() -> object:
        raise AssertionError("read")
        yield

    assert with_statistics((GIVEN, MR), unread()) == (GIVEN, MR)  # type: ignore[arg-type]


def test_without_foreground_there_are_numbers_still() -> None:
    (channel,) = with_statistics((CT,), [np.zeros((1, 0), np.float32)])
    assert (channel.clip, channel.mean) == ((0, 0), 0)
    values = np.ones((2, 2, 2), np.float32)
    normalise(values, channel, moments(values))
    assert np.isfinite(values).all()


@pytest.mark.parametrize(("limit", "slab"), [(10_000, 7), (10, 7), (10, 10_000), (3, 64), (1, 5)])
def test_a_sample_is_every_nth_foreground_voxel(limit: int, slab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalisation, "SAMPLES_PER_CASE", limit)
    monkeypatch.setattr(normalisation, "SLAB_VOXELS", slab)
    rng = np.random.default_rng(0)
    image, label = rng.normal(size=(2, 5, 6, 7)).astype(np.float32), rng.integers(0, 3, (5, 6, 7)).astype(np.uint8)
    inside = image[:, label > 0]
    step = max(1, -(-inside.shape[1] // limit))
    places = foreground_places(label)
    assert np.array_equal(image.reshape(2, -1)[:, places], inside[:, ::step])
    assert len(places) <= limit
    assert len(foreground_places(np.zeros_like(label))) == 0


def test_an_image_is_normalised_where_it_is_read() -> None:
    raw = np.random.default_rng(0).normal(60, 80, (2, 5, 6, 7)).astype(np.float32)
    own = ((3.0, 2.0), (60.0, 80.0))
    expected = np.stack([(raw[0].clip(-100, 200) - 50) / 25, (raw[1] - 60) / 80])
    image = NormalisedImage(raw, (GIVEN, MR), own)
    assert (image.shape, image.nbytes) == (raw.shape, raw.nbytes)
    assert np.allclose(np.asarray(image), expected, atol=1e-5)
    assert np.allclose(image[..., 1:3, 2:6, :4], expected[..., 1:3, 2:6, :4], atol=1e-5)
    assert raw.max() > 200  # as it was


def test_several_models_see_one_image_each_in_its_own_way() -> None:
    raw = np.random.default_rng(0).normal(60, 80, (2, 5, 6, 7)).astype(np.float32)
    other, own = GIVEN.model_copy(update={"clip": (0, 10), "mean": 5.0}), ((3.0, 2.0), (60.0, 80.0))
    both = NormalisedImage(raw, (GIVEN, MR, other, MR), own)
    assert both.shape == (4, 5, 6, 7)
    assert both.nbytes == 2 * raw.nbytes
    apart = [np.asarray(NormalisedImage(raw, channels, own)) for channels in ((GIVEN, MR), (other, MR))]
    assert np.array_equal(np.asarray(both), np.concatenate(apart))


def test_outside_of_the_volume_is_zero_whatever_the_numbers() -> None:
    image = NormalisedImage(np.full((1, 2, 2, 2), 130, np.float32), (GIVEN,), ((0.0, 1.0),))
    patch = crop(image, (-1, -1, -1), (4, 4, 4))
    assert patch.dtype == np.float32
    assert patch.sum() == pytest.approx(8 * (130 - 50) / 25)
    assert patch[0, 1:3, 1:3, 1:3].min() == pytest.approx(3.2)


def test_ct_without_statistics_is_not_read(cache: Cache) -> None:
    with pytest.raises(ValueError, match="'CT' has no statistics"):
        _ = cache["case0"].image[...]
    assert cache["case0"].raw.dtype == np.float32


def test_patches_are_those_of_the_normalised_volume(cache: Cache) -> None:
    channels = cache.fold_channels((CT,), ["case0", "case1"])
    case = replace(cache["case2"], channels=channels)
    whole = np.asarray(case.image)
    sampler = PatchSampler([case], patch_size=whole.shape[1:], volumes=1, patches_per_volume=1, seed=0)
    assert np.allclose(sampler.batch(0).image[0].numpy(), whole)
    values = read_image([cache.folder.parent / "raw" / "case2.nii.gz"]).array
    clip, mean, std = channels[0].clip, channels[0].mean, channels[0].std
    assert np.allclose(whole, (values.clip(*clip) - mean) / std, atol=1e-5)


def test_other_folds_and_other_numbers_leave_the_cache_as_it_is(tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"case{n}", seed=n) for n in range(2)]
    folders = [
        prepare_cases(cases, plan_of(channels=(channel,)), tmp_path / "cache")["case1"].folder
        for channel in (CT, GIVEN, GIVEN.model_copy(update={"mean": 7.0}))
    ]
    assert len(set(folders)) == 1
