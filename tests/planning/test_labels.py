"""What labels lose on a coarser grid, by other ways of counting."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from small_cases import write_case

from c2fnas.data.dataset import Dataset
from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan
from c2fnas.data.scheme import LabelScheme
from c2fnas.planning.labels import SampledLabel, ceilings, chords, mean_chord, sample_labels, there_and_back

REGIONS = LabelScheme.of(
    "background", "whole", "core", "rim", values=((0,), (1, 2, 7), (2, 7), (7,)), order=(1, 2, 7), ignore=9
)
"""Regions one in the other, with an ignored value: parts 1, 2, 3 have the values 1, 2, 7, and part 4 is ignored."""
VALUES = np.array([0, 1, 2, 7, 9])


def plan(*spacing: float, classes: int = 3, scheme: LabelScheme | None = None) -> Plan:
    known = scheme or LabelScheme.of(*(f"c{value}" for value in range(classes)))
    return Plan(
        channels=(ChannelPlan(name="MRI", kind="mr"),),
        classes=tuple(ClassPlan(name=each.name, values=each.values) for each in known.classes),
        regions_class_order=known.order,
        ignore=known.ignore,
        spacing=spacing,
        patch_size=(8, 8, 8),
        stride=(8, 8, 8),
        ranking_stride=(8, 8, 8),
    )


def ball(radius: float, side: int = 40) -> SampledLabel:
    places = np.indices((side,) * 3) - (side - 1) / 2
    return SampledLabel(((places**2).sum(0) <= radius**2).astype(np.uint8), (1.0, 1.0, 1.0), (2 * radius,) * 3)


def test_nothing_is_lost_where_the_grid_is_the_same() -> None:
    assert ceilings([ball(9)], plan(1, 1, 1)) == {"c1": 1.0, "c2": 1.0}


def test_more_is_lost_on_a_coarser_grid_and_of_a_smaller_structure() -> None:
    dice = [[ceilings([ball(radius)], plan(*[mm] * 3))["c1"] for mm in (1, 2, 4)] for radius in (5, 12)]
    for row in dice:
        assert row == sorted(row, reverse=True)
    assert all(small <= large for small, large in zip(*dice, strict=True))


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (2.0, 2.0, 1.0), (4.0, 4.0, 4.0)])
def test_a_label_goes_there_and_back_as_scipy_takes_it(spacing: tuple[float, float, float]) -> None:
    """One class at a time, linearly, and the largest share; whole factors, so that no rounding interferes."""
    label = np.zeros((40, 40, 40), np.uint8)
    label[8:30, 6:28, 10:26], label[14:22, 12:20, 12:20] = 1, 2
    sample = SampledLabel(label, (1.0, 1.0, 1.0), (22.0, 22.0, 16.0))

    def resampled(label: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        factors = [new / old for new, old in zip(shape, label.shape, strict=True)]
        shares = [
            ndimage.zoom((label == value).astype(float), factors, order=1, mode="nearest", grid_mode=True)
            for value in range(3)
        ]
        return np.argmax(shares, axis=0)

    coarse = resampled(label, tuple(round(40 / mm) for mm in spacing))
    assert np.mean(there_and_back(sample, plan(*spacing)) == resampled(coarse, label.shape)) > 0.999


@given(arrays(bool, (4, 5, 6)), st.integers(0, 2))
def test_a_chord_is_the_mean_of_runs(mask: np.ndarray, axis: int) -> None:
    if not mask.any():
        return
    lengths = [len(run) for line in np.moveaxis(mask, axis, -1).reshape(-1, mask.shape[axis]) for run in runs(line)]
    assert mean_chord(mask, axis) == pytest.approx(np.mean(lengths))


def test_chords_are_in_millimetres_and_infinite_for_what_no_case_shows() -> None:
    label = np.zeros((10, 10, 10), np.uint8)
    label[2:8, 2:6, 3:5] = 1
    found = chords([SampledLabel(label, (0.5, 1.0, 3.0), (3.0, 4.0, 6.0))], plan(1, 1, 1).scheme)
    assert found[0].tolist() == [3.0, 4.0, 6.0]
    assert np.isinf(found[1]).all()


def nested(seed: int) -> SampledLabel:
    """Boxes one in the other, not centred, and an ignored slab beside them or through them."""
    rng = np.random.default_rng(seed)
    label, first = np.zeros((24, 20, 16), np.uint8), rng.integers(1, 5, 3)
    for part, (margin, side) in enumerate(((0, 12), (2, 7), (3, 4)), 1):
        i, j, k = first + margin
        label[i : i + side, j : j + side, k : k + min(side, 10)] = part
    start = int(rng.integers(6, 20))
    label[start : start + 4] = 4
    return SampledLabel(label, (1.0, 1.0, 2.0), (12.0, 12.0, 20.0))


@pytest.mark.parametrize("seed", range(6))
def test_ceilings_of_regions_count_voxel_by_voxel_where_none_is_ignored(seed: int) -> None:
    """A region's voxels are those of its values, whichever of them they come back as."""
    sample, coarse = nested(seed), plan(2, 2, 4, scheme=REGIONS)
    truth, back = VALUES[sample.label], VALUES[there_and_back(sample, coarse)]
    expected = {}
    for region in REGIONS.classes[1:]:
        wanted, found = (
            {
                place
                for place in np.ndindex(truth.shape)
                if each[place] in region.values and truth[place] != REGIONS.ignore
            }
            for each in (truth, back)
        )
        expected[region.name] = 2 * len(wanted & found) / (len(wanted) + len(found)) if wanted else 1.0
    assert ceilings([sample], coarse) == pytest.approx(expected)
    assert 0 < min(expected.values()) < 1
    assert ceilings([sample], plan(*sample.spacing, scheme=REGIONS)) == {"whole": 1.0, "core": 1.0, "rim": 1.0}


@pytest.mark.parametrize("seed", range(6))
def test_chords_of_a_region_run_through_those_inside_it_and_end_where_voxels_are_ignored(seed: int) -> None:
    sample = nested(seed)
    expected = []
    for region in REGIONS.classes[1:]:
        inside = np.isin(VALUES[sample.label], region.values)
        lines = [
            [len(run) for line in np.moveaxis(inside, axis, -1).reshape(-1, inside.shape[axis]) for run in runs(line)]
            for axis in range(3)
        ]
        expected.append([np.mean(own) * mm if own else np.inf for own, mm in zip(lines, sample.spacing, strict=True)])
    assert chords([sample], REGIONS) == pytest.approx(np.array(expected))


def runs(line: np.ndarray) -> list[str]:
    return "".join("x" if voxel else " " for voxel in line).split()


def test_what_is_ignored_far_away_changes_nothing_and_slices_lost_among_it_are_lost() -> None:
    """Of annotated slices, every fourth one, a grid of that distance keeps none: no training could see them."""
    scheme = LabelScheme.of("background", "organ", ignore=2)
    label = np.zeros((24, 24, 24), np.uint8)
    label[6:16, 6:16, 6:16] = 1
    far, sliced = label.copy(), np.full_like(label, 2)
    far[20:] = 2
    sliced[..., ::4] = label[..., ::4]
    whole, marked, sparse = (SampledLabel(each, (1.0, 1.0, 1.0), (10.0,) * 3) for each in (label, far, sliced))
    for mm in (1.5, 2, 3):
        coarse = plan(mm, mm, mm, scheme=scheme)
        assert ceilings([marked], coarse) == ceilings([whole], coarse)
    assert np.array_equal(chords([marked], scheme), chords([whole], scheme))
    assert ceilings([sparse], plan(2, 2, 1, scheme=scheme))["organ"] > 0.9
    assert ceilings([sparse], plan(1, 1, 4, scheme=scheme))["organ"] == 0
    assert chords([sparse], scheme).tolist() == [[10, 10, 1]]


def test_the_box_of_a_sample_is_that_of_the_foreground_without_what_is_ignored(tmp_path: Path) -> None:
    cases = []
    for name, organ in (("some", 7), ("none", 0)):
        case = write_case(tmp_path, name, (20, 20, 20), np.diag([1.0, 1.0, 2.0, 1.0]))
        label = np.zeros((20, 20, 20), np.uint8)
        label[3:5, 4:8, 6:7], label[12:] = organ, 9
        assert case.label
        nibabel.save(nibabel.Nifti1Image(label, np.diag([1.0, 1.0, 2.0, 1.0])), case.label)
        cases.append(case)
    data = Dataset("Small", tmp_path, ("MRI",), REGIONS.classes, tuple(cases), (), REGIONS.order, REGIONS.ignore)
    (sample,) = sample_labels(data, (0, 1, 2))
    assert sample.box == (2, 4, 2)
    assert [*np.unique(sample.label)] == [0, 3, 4]
    (stated,) = sample_labels(data.with_spacing((0.5, 3.0, 1.0)), (0, 1, 2))
    assert (stated.box, stated.spacing) == ((1, 12, 1), (0.5, 3.0, 1.0))


@pytest.mark.parametrize("longest", range(3))
def test_of_a_large_label_planes_are_kept_of_each_case_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longest: int
) -> None:
    """Cubes of three classes along the longest axis, a class each third of it, in three equal cases."""
    shape, axes = [60, 60, 60], [0, 1, 2]
    shape[longest] = 300
    label = np.zeros(shape, np.uint8)
    for place in range(10, 300, 20):
        corner = [slice(20, 40)] * 3
        corner[longest] = slice(place - 5, place + 5)
        label[tuple(corner)] = (1, 2, 7)[place // 100]
    cases = [write_case(tmp_path, name, tuple(shape), np.eye(4)) for name in "abc"]
    for case in cases:
        assert case.label
        nibabel.save(nibabel.Nifti1Image(label, np.eye(4)), case.label)
    apart = LabelScheme.of("background", "head", "trunk", "legs", values=((0,), (1,), (2,), (7,)))
    data = Dataset("Tall", tmp_path, ("MRI",), apart.classes, tuple(cases), (), apart.order, apart.ignore)
    whole = sample_labels(data, (0, 1, 2))
    most = 36 * 36 * 100
    monkeypatch.setattr("c2fnas.planning.labels.MOST_VOXELS", most)
    kept = sample_labels(data, (0, 1, 2))
    assert [each.box for each in kept] == [each.box for each in whole]
    assert all(each.label.size <= most for each in kept)
    assert [each.label.shape[axis] for each in kept for axis in axes if axis != longest] == [36] * 6
    assert [sorted(map(int, np.unique(each.label)))[:3] for each in kept] == [[0, 1], [0, 2], [0, 3]]
    for mm in (2.0, 3.0):
        at = plan(*[mm] * 3, scheme=apart)
        assert ceilings(kept, at) == pytest.approx(ceilings(whole, at), abs=0.02)
    assert chords(kept, apart) == pytest.approx(chords(whole, apart), rel=0.1)


def test_planes_that_are_kept_show_the_foreground_where_little_of_it_is_far_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = write_case(tmp_path, "sparse", (30, 30, 200), np.eye(4))
    label = np.zeros((30, 30, 200), np.uint8)
    label[5:25, 5:25, 2:6], label[5:25, 5:25, 190:194] = 1, 7
    assert case.label
    nibabel.save(nibabel.Nifti1Image(label, np.eye(4)), case.label)
    monkeypatch.setattr("c2fnas.planning.labels.MOST_VOXELS", 30 * 30 * 40)
    data = Dataset("Few", tmp_path, ("MRI",), REGIONS.classes, (case,), (), REGIONS.order, REGIONS.ignore)
    (sample,) = sample_labels(data, (0, 1, 2))
    assert sample.label.any()
    assert sample.label.shape == (30, 30, 40)
