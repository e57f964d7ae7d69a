"""Patches: the same numbers whatever the workers, ranks, device or place of resuming; and the promises of sampling."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cases import plan_of, prepared

from c2fnas.data import patches
from c2fnas.data.augment import Augmentation, augmentation
from c2fnas.data.cache import Cache
from c2fnas.data.patches import Batch, PatchSampler, crop, prefetched
from c2fnas.data.preprocess import MOST_CENTRES, patch_centres
from c2fnas.data.scheme import LabelScheme

IGNORED = 9


@dataclass(frozen=True)
class Volume:
    """A case in memory whose single channel holds each voxel's number."""

    label: np.ndarray

    @property
    def image(self) -> np.ndarray:
        return np.arange(1, self.label.size + 1, dtype=np.float32).reshape(1, *self.label.shape)

    @property
    def foreground(self) -> tuple[np.ndarray, ...]:
        return tuple(np.argwhere(self.label == index) for index in (1, 2))

    @property
    def known(self) -> np.ndarray | None:
        return np.argwhere(self.label != IGNORED) if (self.label == IGNORED).any() else None


def sampler_of(cases: object, **changes: object) -> PatchSampler:
    settings_ = {"patch_size": (6, 8, 6), "volumes": 2, "patches_per_volume": 2, "seed": 3, "foreground_rate": 1 / 3}
    return PatchSampler(tuple(cases), **(settings_ | changes))


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_no_patch_shows_ignored_voxels_alone(rate: float) -> None:
    label = np.full((30, 30, 30), IGNORED, np.uint8)
    label[3:5, 20:22, 11] = 0  # all that is known
    patches = [sampler_of([Volume(label)], patch_size=(4, 4, 4), foreground_rate=rate).batch(n) for n in range(10)]
    assert all((each != IGNORED).any() for batch in patches for each in batch.label)


def same(left: Batch, right: Batch) -> bool:
    return torch.equal(left.image, right.image) and torch.equal(left.label, right.label)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return prepared(tmp_path_factory.mktemp("patches"))


@pytest.fixture(params=["none", "paper", "modern"])
def augment(request: pytest.FixtureRequest) -> Augmentation | None:
    return augmentation(request.param, plan_of(patch_size=(6, 8, 6)))


def test_shapes_and_types(cache: Cache) -> None:
    batch = sampler_of(cache.cases.values()).batch(0)
    assert batch.image.shape == (4, 1, 6, 8, 6)
    assert batch.image.dtype == torch.float32
    assert batch.label.shape == (4, 6, 8, 6)
    assert batch.label.dtype == torch.uint8


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_workers_and_resuming_change_nothing(cache: Cache, augment: Augmentation | None, workers: int) -> None:
    sampler = sampler_of(cache.cases.values(), augmentation=augment)
    whole = [sampler.batch(iteration) for iteration in range(12)]
    fresh = sampler_of(cache.cases.values(), augmentation=augment)
    resumed = [*prefetched(fresh, 0, 5, workers=workers), *prefetched(fresh, 5, 12, workers=workers)]
    assert len(resumed) == 12
    assert all(map(same, whole, resumed))


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_out_the_same_patches(cache: Cache, augment: Augmentation | None, world_size: int) -> None:
    whole = sampler_of(cache.cases.values(), augmentation=augment).batch(7)
    for rank in range(world_size):
        part = sampler_of(cache.cases.values(), augmentation=augment, rank=rank, world_size=world_size).batch(7)
        assert torch.equal(part.image, whole.image[rank::world_size])
        assert torch.equal(part.label, whole.label[rank::world_size])


def test_volumes_on_the_device_give_the_same_patches(cache: Cache, augment: Augmentation | None) -> None:
    resident = sampler_of(cache.cases.values(), augmentation=augment, device="cpu")
    assert resident.resident
    plain = sampler_of(cache.cases.values(), augmentation=augment)
    assert not plain.resident
    assert all(same(resident.batch(n), plain.batch(n)) for n in range(6))


def test_resident_volumes_stay_as_they_are(cache: Cache) -> None:
    """Patches are changed in place by some augmentations; the volumes they came from are not."""
    sampler = sampler_of(cache.cases.values(), augmentation=augmentation("modern", plan_of()), device="cpu")
    first = sampler.batch(0)
    for iteration in range(20):
        sampler.batch(iteration)
    assert same(first, sampler.batch(0))


def test_volumes_that_do_not_fit_stay_in_files(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "RESIDENT_SHARE", 0.0)
    assert not sampler_of(cache.cases.values(), device="cpu").resident


def test_seeds_and_iterations_differ(cache: Cache) -> None:
    first = sampler_of(cache.cases.values()).batch(0)
    assert not same(first, sampler_of(cache.cases.values()).batch(1))
    assert not same(first, sampler_of(cache.cases.values(), seed=4).batch(0))


def test_every_epoch_takes_every_volume_once() -> None:
    volumes = [Volume(np.full((4, 4, 4), number, np.uint8)) for number in range(5)]
    sampler = sampler_of(volumes, patch_size=(4, 4, 4), volumes=2, patches_per_volume=2, foreground_rate=0)
    drawn = torch.cat([sampler.batch(iteration).label[:, 0, 0, 0] for iteration in range(10)]).tolist()
    assert drawn[0::2] == drawn[1::2]  # two patches from each volume
    epochs = [drawn[start : start + 10 : 2] for start in range(0, 40, 10)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


@pytest.mark.parametrize("rate", [0.25, 1 / 3, 0.5, 1.0])
def test_the_promised_share_of_patches_shows_foreground_of_evenly_drawn_classes(rate: float) -> None:
    label = np.zeros((40, 40, 40), np.uint8)
    label[3, 30, 20], label[20:22, 5, 5:7] = 1, 2  # class 2 has four times the voxels
    sampler = sampler_of([Volume(label)], patch_size=(3, 3, 3), volumes=5, patches_per_volume=6, foreground_rate=rate)
    found = torch.cat([sampler.batch(iteration).label.flatten(1).amax(1) for iteration in range(8)])
    assert abs(int((found > 0).sum()) - rate * 240) <= 4  # and hardly any by chance
    assert 0.3 < float((found == 1).sum() / (found > 0).sum()) < 0.7


def test_without_foreground_the_rate_asks_for_nothing() -> None:
    batch = sampler_of([Volume(np.zeros((9, 9, 9), np.uint8))], foreground_rate=1.0).batch(0)
    assert not batch.label.any()


def test_patches_reach_every_corner() -> None:
    volume = Volume(np.zeros((5, 6, 7), np.uint8))
    sampler = sampler_of([volume], patch_size=(4, 4, 4), volumes=1, patches_per_volume=100)
    seen = set(sampler.batch(0).image.flatten().int().tolist())
    assert seen == set(range(1, 5 * 6 * 7 + 1))


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 9)] * 3), st.integers(0, 1000))
def test_any_size_is_cropped_or_padded_and_holds_the_volume(
    shape: tuple[int, int, int], patch: tuple[int, int, int], seed: int
) -> None:
    label = np.random.default_rng(seed).integers(0, 3, shape).astype(np.uint8)
    volume = Volume(label)
    batch = sampler_of([volume], patch_size=patch, seed=seed).batch(0)
    inside = int(np.prod(np.minimum(shape, patch)))
    for image, classes in zip(batch.image, batch.label, strict=True):
        numbers = image[image > 0].int()
        assert len(numbers) == inside == len(set(numbers.tolist()))
        assert torch.equal(classes[image[0] > 0], torch.from_numpy(label.ravel()[numbers.numpy() - 1]))
        assert not classes[image[0] == 0].any()


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(1, 6)] * 3), st.tuples(*[st.integers(-5, 5)] * 3), st.tuples(*[st.integers(1, 8)] * 3))
def test_crop_is_a_slice_of_the_padded_array(
    shape: tuple[int, int, int], start: tuple[int, int, int], size: tuple[int, int, int]
) -> None:
    start = tuple(max(1 - side, min(first, length - 1)) for first, side, length in zip(start, size, shape, strict=True))
    array = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    padded = np.pad(array, [(0, 0), (8, 8), (8, 8), (8, 8)])
    i, j, k = (slice(8 + first, 8 + first + side) for first, side in zip(start, size, strict=True))
    for each in (array, torch.from_numpy(array)):
        assert np.array_equal(np.asarray(crop(each, start, size)), padded[:, i, j, k])


def test_a_failure_in_a_worker_reaches_the_training_and_ends_it(cache: Cache) -> None:
    def fails(image: object, label: object, rng: object) -> None:
        raise ZeroDivisionError("in the augmentation")

    with pytest.raises(ZeroDivisionError, match="augmentation"):
        list(prefetched(sampler_of(cache.cases.values(), augmentation=fails), 0, 5, workers=2))


def test_leaving_early_stops_the_workers(cache: Cache) -> None:
    made: list[int] = []

    class Counting(PatchSampler):
        def batch(self, iteration: int) -> Batch:
            made.append(iteration)
            return super().batch(iteration)

    sampler = Counting(tuple(cache.cases.values()), patch_size=(4, 4, 4), volumes=1, patches_per_volume=1, seed=0)
    batches = prefetched(sampler, 0, 1000, workers=2)
    next(batches)
    batches.close()
    assert len(made) < 20


def test_cases_without_a_label_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="label"):
        sampler_of([])


@pytest.mark.parametrize(("lone", "expected"), [(True, 1), (False, 3)])
def test_threads_that_make_patches_may_have_no_team_each(cache: Cache, lone: bool, expected: int) -> None:
    """Beside a training's it would be more threads than cores, and libgomp has all of them sleep then."""
    teams = set[int]()

    def note(image: torch.Tensor, label: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        teams.add(torch.get_num_threads())
        return image, label

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        list(prefetched(sampler_of(cache.cases.values(), augmentation=note), 0, 4, workers=2, lone=lone))
        assert (teams, torch.get_num_threads()) == ({expected}, 3)
    finally:
        torch.set_num_threads(before)


def test_every_labelled_slice_is_a_centre_where_most_voxels_are_ignored() -> None:
    """Whole slices at even distances along k, of which a step through the voxels would meet every other one."""
    scheme = LabelScheme.of("background", "organ", values=[(0,), (1,)], ignore=2)
    label = np.full((512, 128, 64), scheme.ignored, np.uint8)
    label[:, :, ::2] = 0
    _, (known,) = patch_centres(label, scheme)
    assert len(known) == MOST_CENTRES
    assert {*known[:, 2].tolist()} == {*range(0, 64, 2)}
    assert len(np.unique(known, axis=0)) == MOST_CENTRES
    assert not label[tuple(known.T)].any()
