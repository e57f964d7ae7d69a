"""Augmentations: label and image move together, the paper's are symmetries, and each change is what it says."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import ndimage
from small_cases import plan_of
from torch import Tensor

from c2fnas.data import augment as augment_module
from c2fnas.data.augment import (
    USUAL,
    WIDE,
    Augmentation,
    Scaling,
    Warp,
    augmentation,
    modern_augmentation,
    paper_augmentation,
    rotation,
    turning_planes,
)


def rng_of(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def numbered(shape: tuple[int, int, int]) -> Tensor:
    return torch.arange(float(np.prod(shape))).reshape(1, *shape)


def variants(augment: Augmentation, shape: tuple[int, int, int], count: int) -> set[tuple[float, ...]]:
    label = torch.zeros(shape, dtype=torch.uint8)
    return {tuple(augment(numbered(shape), label, rng_of(seed))[0].flatten().tolist()) for seed in range(count)}


def test_paper_makes_all_48_symmetries_of_a_cube_and_no_other_arrangement() -> None:
    made = variants(paper_augmentation(plan_of(patch_size=(3, 3, 3))), (3, 3, 3), 1500)
    assert len(made) == 48


def test_paper_makes_the_16_symmetries_of_a_square_plate() -> None:
    assert len(variants(paper_augmentation(plan_of(patch_size=(4, 4, 3))), (4, 4, 3), 600)) == 16


def test_paper_only_flips_where_no_two_sides_are_alike() -> None:
    assert len(variants(paper_augmentation(plan_of(patch_size=(4, 5, 6))), (4, 5, 6), 200)) == 8


@pytest.mark.parametrize(
    ("patch", "spacing", "planes"),
    [
        ((8, 8, 8), (1, 1, 2.5), {(0, 1)}),
        ((8, 16, 8), (1, 1, 1), {(0, 2)}),
        ((8, 8, 8), (1, 2, 3), set()),
        ((8, 8, 8), None, {(0, 1), (0, 2), (1, 2)}),
    ],
)
def test_quarter_turns_need_equal_sides_and_spacings(
    patch: tuple[int, ...], spacing: tuple[float, ...] | None, planes: set[tuple[int, int]]
) -> None:
    assert set(turning_planes(patch, spacing)) == planes


@pytest.mark.parametrize("name", ["paper", "modern", "strong"])
def test_image_and_label_move_together(name: str) -> None:
    """A bright blob is still where its label is."""
    augment = augmentation(name, plan_of(patch_size=(24, 24, 24)))
    label = torch.zeros(24, 24, 24, dtype=torch.uint8)
    label[4:12, 6:16, 9:19] = 1
    for seed in range(30):
        image, moved = augment(label[None].float() * 4 - 1, label.clone(), rng_of(seed))
        assert image.shape == (1, 24, 24, 24)
        assert moved.shape == label.shape
        assert moved.dtype == torch.uint8
        assert image[0][moved == 1].mean() - image[0][moved == 0].mean() > 1.5, seed


def test_modern_is_driven_by_its_generator_alone() -> None:
    augment = modern_augmentation(plan_of(patch_size=(9, 10, 11)))
    image, label = torch.randn(2, 9, 10, 11), torch.randint(0, 3, (9, 10, 11), dtype=torch.uint8)
    made = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed * 10 + len(made))
        made.append(augment(image.clone(), label.clone(), rng_of(seed))[0])
    assert torch.equal(made[0], made[2])
    assert not torch.equal(made[0], made[1])


def test_unmirrored_is_modern_but_for_the_flips() -> None:
    """The same random numbers give the same patch; modern then shows one of its eight mirror images."""
    image, label = numbered((6, 5, 4)), (numbered((6, 5, 4))[0] % 3).to(torch.uint8)
    plan, mirrored = plan_of(), set[tuple[int, ...]]()
    for seed in range(60):
        one, two = (augmentation(name, plan) for name in ("modern", "unmirrored"))
        assert one is not None
        assert two is not None
        (image1, label1), (image2, label2) = one(image, label, rng_of(seed)), two(image, label, rng_of(seed))
        axes = [
            each
            for count in range(4)
            for each in combinations(range(3), count)
            if torch.equal(label1, label2.flip(each)) and torch.equal(image1, image2.flip([axis + 1 for axis in each]))
        ]
        assert axes
        mirrored.update(axes)
    assert len(mirrored) == 8


def test_modern_stays_finite_on_a_constant_patch() -> None:
    augment = modern_augmentation(plan_of(patch_size=(8, 8, 8)))
    for seed in range(100):
        image, _ = augment(torch.zeros(1, 8, 8, 8), torch.zeros(8, 8, 8, dtype=torch.uint8), rng_of(seed))
        assert image.isfinite().all()


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.5, 1.0, 2.0)])
def test_a_warp_is_scipys_affine_transform(spacing: tuple[float, float, float]) -> None:
    image = np.random.default_rng(0).normal(size=(11, 8, 9)).astype(np.float32)
    angles, scale = np.array([0.3, -0.2, 0.4]), 1.2
    turn = rotation(0, 0.3) @ rotation(1, -0.2) @ rotation(2, 0.4) / scale
    matrix = np.diag(1 / np.array(spacing)) @ turn @ np.diag(spacing)
    middle = (np.array(image.shape) - 1) / 2
    expected = ndimage.affine_transform(image, matrix, middle - matrix @ middle, order=1, mode="grid-constant")
    label = torch.zeros(11, 8, 9, dtype=torch.uint8)
    warped, _ = Warp(image.shape, spacing).apply(torch.from_numpy(image)[None], label, angles, scale)
    assert np.allclose(warped[0].numpy(), expected, atol=1e-4)


def test_thick_slices_turn_in_their_own_plane_alone() -> None:
    assert Warp((192, 192, 16), (1, 1, 1)).turned_about == (2,)
    assert Warp((64, 64, 32), (0.5, 0.5, 3)).turned_about == (2,)
    assert Warp((64, 64, 24), (3, 3, 0.5)).turned_about == (2,)  # slices that were doubled: 192 to 12 mm
    assert Warp((64, 64, 24), (1, 1, 2)).turned_about == (0, 1, 2)
    image = torch.zeros(1, 16, 16, 4)
    image[..., 2] = 1
    label = image[0].to(torch.uint8)
    warped, _ = Warp((16, 16, 4), (1, 1, 5)).apply(image, label, np.full(3, 0.4), 1.0)
    assert not warped[..., [0, 1, 3]].any()


def test_thick_slices_grow_in_their_own_plane_alone() -> None:
    image, label = cube_of(4)
    _, whole = Warp((16, 16, 16), (1, 1, 1)).apply(image, label, np.zeros(3), 2.0)
    _, within = Warp((16, 16, 16), (1, 1, 5)).apply(image, label, np.zeros(3), 2.0)
    assert int(whole.sum()) == 8 * 8 * 8
    assert int(within.sum()) == 8 * 8 * 4


def test_what_comes_from_outside_is_of_the_class_that_is_named() -> None:
    image, label = cube_of(16)
    _, background = Warp((16, 16, 16), (1, 1, 1)).apply(image, label, np.zeros(3), 0.5)
    _, ignored = Warp((16, 16, 16), (1, 1, 1), outside=7).apply(image, label, np.zeros(3), 0.5)
    assert np.bincount(ignored.ravel(), minlength=8).tolist() == [0, 512, 0, 0, 0, 0, 0, 16**3 - 512]
    assert torch.equal(ignored == 1, background == 1)
    assert ignored.dtype == label.dtype


@pytest.mark.parametrize("scaling", [USUAL, WIDE])
def test_patches_are_scaled_as_often_and_as_much_as_is_asked(scaling: Scaling) -> None:
    """Shares of 2,000 patches, of fixed seeds; of others, one in ten thousand calls would fail."""
    image, label = cube_of(8)
    warp = Warp((16, 16, 16), (1, 1, 1), scaling)
    drawn: list[float] = []

    def apply(image: Tensor, label: Tensor, angles: np.ndarray, scale: float) -> tuple[Tensor, Tensor]:
        drawn.append(scale)
        return image, label

    warp.apply = apply  # type: ignore[method-assign]
    for seed in range(2000):
        warp(image, label, rng_of(seed))
    scales = [scale for scale in drawn if scale != 1.0]
    assert abs(len(scales) / 2000 - scaling.probability) < 4 * (0.25 / 2000) ** 0.5
    assert scaling.least <= min(scales) < scaling.least + 0.02
    assert scaling.most - 0.02 < max(scales) <= scaling.most


def test_strong_is_modern_with_wide_scaling() -> None:
    made = augmentation("strong", plan_of(patch_size=(9, 10, 11)))
    other = modern_augmentation(plan_of(patch_size=(9, 10, 11)), scaling=WIDE)
    assert made is not None
    image, label = torch.randn(1, 9, 10, 11), torch.zeros(9, 10, 11, dtype=torch.uint8)
    for seed in range(20):
        one, two = (augment(image.clone(), label.clone(), rng_of(seed))[0] for augment in (made, other))
        assert torch.equal(one, two)


def cube_of(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Image and label of a cube in the middle of 16 voxels along each axis."""
    label = torch.zeros(16, 16, 16, dtype=torch.uint8)
    inside = slice(8 - side // 2, 8 + side // 2)
    label[inside, inside, inside] = 1
    return label[None].float(), label


def test_identity_warp_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 7, 8, 9, generator=generator)
    label = torch.randint(0, 4, (7, 8, 9), dtype=torch.uint8, generator=generator)
    warped, classes = Warp((7, 8, 9), (1, 2, 3)).apply(image, label, np.zeros(3), 1.0)
    assert torch.allclose(warped, image, atol=1e-4)
    assert torch.equal(classes, label)


def test_smoothing_is_scipys_gaussian() -> None:
    image = np.random.default_rng(0).normal(size=(9, 8, 3)).astype(np.float32)
    expected = ndimage.gaussian_filter(image, 0.8, mode="nearest", truncate=3.0)
    assert np.allclose(augment_module.smoothed(torch.from_numpy(image), 0.8).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("change", [change for _, change in augment_module.CHANGES], ids=lambda each: each.__name__)
def test_a_change_leaves_its_input_alone_and_does_something(change: augment_module.Change) -> None:
    image = torch.randn(2, 6, 7, 8, generator=torch.Generator().manual_seed(0))
    before = image.clone()
    changed = [change(image, rng_of(seed)) for seed in range(8)]
    assert torch.equal(image, before)
    assert all(each.shape == image.shape and each.isfinite().all() for each in changed)
    assert any(not torch.equal(each, image) for each in changed)


def test_gamma_keeps_mean_and_spread_and_order() -> None:
    image = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    changed = augment_module.gamma(image, rng_of())
    assert changed.mean().item() == pytest.approx(image.mean().item(), abs=1e-5)
    assert changed.std().item() == pytest.approx(image.std().item(), rel=1e-4)
    assert torch.equal(changed.flatten().argsort(), image.flatten().argsort())


DRAWS = 2000


def test_each_change_is_made_as_often_as_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 2,000 patches, give or take 5 standard errors."""
    shares = {"noise": 0.1, "blur": 0.2, "brightness": 0.15, "contrast": 0.15, "low_resolution": 0.25}
    shares |= {"inverted_gamma": 0.1, "gamma": 0.3}
    made = Counter[str]()

    def counting(name: str) -> augment_module.Change:
        def change(image: Tensor, rng: np.random.Generator) -> Tensor:
            made[name] += 1
            return image

        return change

    counted = [(probability, counting(change.__name__)) for probability, change in augment_module.CHANGES]
    monkeypatch.setattr(augment_module, "CHANGES", counted)
    rng = rng_of()
    for _ in range(DRAWS):
        augment_module.change_intensities(torch.zeros(1), rng)
    assert made.keys() == shares.keys()
    for name, share in shares.items():
        assert abs(made[name] - DRAWS * share) < 5 * (DRAWS * share * (1 - share)) ** 0.5, name


def test_a_fifth_of_the_patches_is_turned_by_up_to_thirty_degrees(monkeypatch: pytest.MonkeyPatch) -> None:
    image, label = cube_of(8)
    warp, rng, drawn = Warp((16, 16, 16), (1, 1, 1)), rng_of(), list[np.ndarray]()

    def apply(image: Tensor, label: Tensor, angles: np.ndarray, scale: float) -> tuple[Tensor, Tensor]:
        drawn.append(np.degrees(angles))
        return image, label

    monkeypatch.setattr(warp, "apply", apply)
    for _ in range(DRAWS):
        warp(image, label, rng)
    turned = np.array([angles for angles in drawn if angles.any()])
    assert abs(len(turned) - 400) < 5 * (DRAWS * 0.2 * 0.8) ** 0.5
    assert np.abs(turned.mean(axis=0)).max() < 5 * 30 / (3 * len(turned)) ** 0.5
    for angles in turned.T:
        assert -30 <= angles.min() < -29
        assert 29 < angles.max() <= 30


def test_noise_has_a_variance_of_a_twentieth_on_average() -> None:
    """Variances are uniform up to a tenth, so their deviation is 0.1/√12; 64 voxels tell one to a sixth."""
    rng = rng_of()
    found = [float(augment_module.noise(torch.zeros(1, 4, 4, 4), rng).square().mean()) for _ in range(DRAWS)]
    error = (0.1**2 / 12 + 2 / 64 * 0.1**2 / 3) ** 0.5
    assert abs(np.mean(found) - 0.05) < 5 * error / DRAWS**0.5
    assert abs(np.std(found) - error) < 0.1 * error


@pytest.mark.parametrize("name", ["brightness", "contrast"])
def test_factors_of_intensities_are_within_a_quarter_of_one(name: str) -> None:
    """Of the small values: spread about the mean, the large ones stay within the range there was."""
    image, rng = torch.tensor([-100.0, -1.0, 1.0, 100.0]).view(1, 1, 2, 2), rng_of()
    factors = [float(getattr(augment_module, name)(image, rng)[0, 0, 1, 0]) for _ in range(DRAWS)]
    assert 0.75 <= min(factors) < 0.752
    assert 1.248 < max(factors) <= 1.25
    assert abs(np.mean(factors) - 1) < 5 * 0.5 / (12 * DRAWS) ** 0.5


def test_contrast_stays_within_the_range() -> None:
    image = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    for seed in range(10):
        changed = augment_module.contrast(image, rng_of(seed))
        assert changed.min() >= image.min()
        assert changed.max() <= image.max()
