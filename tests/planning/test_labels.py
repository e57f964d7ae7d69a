"""What labels lose on a coarser grid, by other ways of counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan
from c2fnas.planning.labels import SampledLabel, ceilings, chords, mean_chord, there_and_back


def plan(*spacing: float, classes: int = 3) -> Plan:
    return Plan(
        channels=(ChannelPlan(name="MRI", kind="mr"),),
        classes=tuple(ClassPlan(name=f"c{value}", values=(value,)) for value in range(classes)),
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
    runs = []
    for line in np.moveaxis(mask, axis, -1).reshape(-1, mask.shape[axis]):
        runs += [len(run) for run in "".join("x" if voxel else " " for voxel in line).split()]
    assert mean_chord(mask, axis) == pytest.approx(np.mean(runs))


def test_chords_are_in_millimetres_and_infinite_for_what_no_case_shows() -> None:
    label = np.zeros((10, 10, 10), np.uint8)
    label[2:8, 2:6, 3:5] = 1
    found = chords([SampledLabel(label, (0.5, 1.0, 3.0), (3.0, 4.0, 6.0))], plan(1, 1, 1).scheme)
    assert found[0].tolist() == [3.0, 4.0, 6.0]
    assert np.isinf(found[1]).all()
