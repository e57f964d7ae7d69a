"""The way back is exact for every orientation, and resampling equals what is known to be right."""

from itertools import permutations, product

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch.nn import functional

from c2fnas.data import resample
from c2fnas.data.geometry import Geometry
from c2fnas.data.resample import Taps, resample_image, resample_labels
from c2fnas.data.restoration import Restoration

ORIENTATIONS = [
    tuple(("LR", "PA", "IS")[axis][sign] for axis, sign in zip(order, signs, strict=True))
    for order in permutations(range(3))
    for signs in product((0, 1), repeat=3)
]
sizes = st.tuples(*[st.integers(1, 9)] * 3)


def oriented(axcodes: tuple[str, ...], shape: tuple[int, int, int]) -> Geometry:
    """A grid of which the voxel axes run towards ``axcodes``, with three different spacings."""
    ornt = nibabel.orientations.axcodes2ornt(axcodes)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (world, sign) in enumerate(ornt):
        affine[int(world), axis] = sign * (0.7, 1.3, 2.9)[int(world)]
    affine[:3, 3] = (5, -7, 11)
    return Geometry.from_array(shape, affine)


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("axes", list(permutations(range(3))), ids=str)
def test_every_orientation_there_and_back_is_the_same_array(axes: tuple[int, int, int]) -> None:
    labels = np.random.default_rng(0).integers(0, 250, (3, 4, 5), dtype=np.uint8)
    for axcodes in ORIENTATIONS:
        way = Restoration.to_axes(oriented(axcodes, (3, 4, 5)), axes)
        assert np.array_equal(way.labels(np.ascontiguousarray(way.view(labels))), labels), axcodes


def test_canonical_axes_are_those_of_nibabel() -> None:
    array = np.random.default_rng(0).normal(size=(3, 4, 5))
    for axcodes in ORIENTATIONS:
        geometry = oriented(axcodes, (3, 4, 5))
        canonical = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, geometry.matrix))
        way = Restoration.to_axes(geometry)
        assert np.array_equal(way.view(array), canonical.get_fdata())
        assert np.allclose(way.spacing, (0.7, 1.3, 2.9))


@pytest.mark.parametrize("axcodes", ORIENTATIONS, ids="".join)
def test_a_point_keeps_its_place_in_the_patient_through_crop_and_resampling(axcodes: tuple[str, ...]) -> None:
    """A blob resampled to twice the voxels and labelled there comes back to where it was, to a voxel."""
    geometry = oriented(axcodes, (7, 9, 8))
    truth = np.zeros(geometry.shape, np.uint8)
    truth[2:5, 3:6, 4:7] = 1
    way = Restoration.to_axes(geometry, (1, 2, 0))
    way = way.cropped(tuple((1, size) for size in way.shape))
    way = way.to_shape(tuple(2 * size for size in way.shape), None)
    doubled = way.view(truth).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert np.array_equal(way.labels(doubled), truth)
    assert np.array_equal(way.argmax(np.stack([1.0 - doubled, doubled])), truth)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, st.integers(1, 5), st.sampled_from([None, 0, 1, 2]), st.integers(0, 2**31))
def test_running_argmax_in_slabs_equals_all_classes_at_once_bit_for_bit(
    source: tuple[int, int, int], target: tuple[int, int, int], classes: int, nearest: int | None, seed: int
) -> None:
    scores = np.random.default_rng(seed).normal(size=(classes, *source)).astype(np.float32)
    way = Restoration.to_axes(Geometry.from_array(target, np.eye(4))).to_shape(source, nearest)
    whole = torch.from_numpy(scores)
    for axis in (3, 2, 1):
        taps = (Taps.nearest if axis - 1 == nearest else Taps.linear)(source[axis - 1], target[axis - 1])
        low, high = (whole.index_select(axis, torch.from_numpy(index)) for index in (taps.low, taps.high))
        weight = torch.from_numpy(taps.weight).view([-1 if each == axis else 1 for each in range(4)])
        whole = low * (1 - weight) + high * weight
    naive = whole.argmax(0).numpy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resample, "SLAB_VOXELS", 1)  # a plane at a time
        assert np.array_equal(way.argmax(scores), naive)
    assert np.array_equal(way.argmax(torch.from_numpy(scores)), naive)


@pytest.mark.parametrize("target", [(14, 8, 21), (4, 22, 7), (9, 11, 7), (1, 1, 1)])
def test_linear_interpolation_is_that_of_torch(target: tuple[int, int, int]) -> None:
    scores = torch.randn(4, 9, 11, 7, generator=torch.Generator().manual_seed(0))
    way = Restoration.to_axes(Geometry.from_array(target, np.eye(4))).to_shape((9, 11, 7), None)
    expected = functional.interpolate(scores[None], size=target, mode="trilinear", align_corners=False)[0]
    gap = expected.topk(2, dim=0).values.diff(dim=0)[0].abs() > 1e-5  # ties may fall either way
    assert np.array_equal(way.argmax(scores)[gap.numpy()], expected.argmax(0).numpy()[gap.numpy()])


def test_half_precision_scores_are_read_as_they_are() -> None:
    scores = torch.randn(3, 5, 6, 7, generator=torch.Generator().manual_seed(0)).half()
    way = Restoration.to_axes(Geometry.from_array((5, 6, 7), np.eye(4)))
    assert np.array_equal(way.argmax(scores), scores.float().argmax(0).numpy())


def test_ties_go_to_the_lower_class() -> None:
    way = Restoration.to_axes(Geometry.from_array((2, 2, 2), np.eye(4)))
    assert not way.argmax(np.zeros((3, 2, 2, 2), np.float32)).any()


@pytest.mark.parametrize("target", [(20, 21, 9), (5, 60, 12), (33, 1, 4), (17, 30, 9)])
def test_images_are_resampled_as_scipy_does(target: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).normal(size=(17, 30, 9)).astype(np.float32)
    factors = [new / old for new, old in zip(target, image.shape, strict=True)]
    expected = ndimage.zoom(image.astype(np.float64), factors, order=3, mode="nearest", grid_mode=True)
    assert np.allclose(resample_image(image[::-1], target), expected[::-1], atol=5e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resample, "SLAB_VOXELS", 8)
        assert np.allclose(resample_image(image, target), expected, atol=5e-6)


def test_thick_slices_are_repeated_not_interpolated() -> None:
    image = np.random.default_rng(0).normal(size=(6, 6, 3)).astype(np.float32)
    assert np.array_equal(resample_image(image, (6, 6, 9), nearest_axis=2), image.repeat(3, axis=2))


@settings(max_examples=40, deadline=None)
@given(sizes, sizes, st.integers(0, 2**31))
def test_labels_are_the_largest_share_of_the_interpolated_masks(
    source: tuple[int, int, int], target: tuple[int, int, int], seed: int
) -> None:
    label = np.random.default_rng(seed).choice([0, 1, 3], source).astype(np.uint8)
    masks = torch.from_numpy(np.stack([label == index for index in range(4)])).float()
    shares = functional.interpolate(masks[None], size=target, mode="trilinear", align_corners=False)[0]
    chosen = torch.from_numpy(resample_labels(label, target).astype(np.int64))
    assert torch.allclose(shares.gather(0, chosen[None])[0], shares.amax(0), atol=1e-5)


def test_json_keeps_everything() -> None:
    way = Restoration.to_axes(oriented(("P", "S", "L"), (4, 5, 6)), (2, 0, 1)).cropped(((0, 3), (1, 3), (2, 4)))
    way = way.to_shape((7, 8, 9), 1)
    assert Restoration.from_json(way.to_json()) == way


def test_resampled_says_whether_voxels_are_others() -> None:
    way = Restoration.to_axes(Geometry.from_array((4, 5, 6), np.eye(4))).cropped(((0, 3), (1, 3), (2, 4)))
    assert not way.resampled
    assert not way.to_shape((3, 2, 2)).resampled
    assert way.to_shape((3, 2, 3)).resampled


def test_an_array_of_another_size_is_refused() -> None:
    way = Restoration.to_axes(Geometry.from_array((4, 5, 6), np.eye(4)))
    with pytest.raises(ValueError, match=r"\(4, 5, 6\)"):
        way.labels(np.zeros((4, 5, 7), np.uint8))
    with pytest.raises(ValueError, match=r"\(4, 5, 6\)"):
        way.argmax(np.zeros((2, 4, 5, 7), np.float32))
