"""Metrics against counts on paper, brute force and both empty-class rules."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from c2fnas.data.scheme import LabelScheme
from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import CaseScores, Evaluation, Options, dice_per_class, score_case, summarise
from c2fnas.evaluation.surface import hausdorff95_per_class, surface_dice_per_class

MM = (1.0, 1.0, 1.0)
TWO, FOUR = LabelScheme.of("background", "a"), LabelScheme.of("background", "a", "b", "c")
volumes = arrays(np.uint8, (3, 4, 2), elements=st.integers(0, 3))


@given(prediction=volumes, truth=volumes)
def test_dice_is_the_formula(prediction: np.ndarray, truth: np.ndarray) -> None:
    for index, dice in enumerate(dice_per_class(prediction, truth, FOUR), start=1):
        ours, theirs = set(np.flatnonzero(prediction == index)), set(np.flatnonzero(truth == index))
        assert dice == (2 * len(ours & theirs) / (len(ours) + len(theirs)) if ours or theirs else None)


BRAIN = LabelScheme.of("background", "whole", "core", values=[(0,), (1, 2), (2,)], order=(1, 2), ignore=3)


@given(prediction=arrays(np.uint8, (3, 4, 2), elements=st.integers(0, 2)), truth=volumes)
def test_dice_of_regions_is_that_of_their_masks_without_ignored_voxels(
    prediction: np.ndarray, truth: np.ndarray
) -> None:
    row = score_case("a", prediction, truth, BRAIN)
    for name, parts in (("whole", (1, 2)), ("core", (2,))):
        ours, theirs = (np.isin(each, parts)[truth != 3] for each in (prediction, truth))
        size = ours.sum() + theirs.sum()
        assert row.dice[name] == (2 * (ours & theirs).sum() / size if size else None)
        assert (name in row.false_positive) == (ours.any() and not theirs.any())


def test_what_is_found_among_ignored_voxels_alone_is_missed() -> None:
    """As Dice and distances have it."""
    classes = LabelScheme.of("background", "a", ignore=9)
    truth, prediction = np.zeros((4, 3, 3), np.uint8), np.zeros((4, 3, 3), np.uint8)
    truth[0], truth[3], prediction[3] = 1, classes.ignored, 1
    row = score_case("a", prediction, truth, classes)
    assert (row.dice, row.missed) == ({"a": 0.0}, ("a",))
    prediction[1] = 1
    assert score_case("a", prediction, truth, classes).missed == ()


def test_distances_of_regions_pass_over_what_is_ignored() -> None:
    truth, prediction = 2 * cube(2), cube(2)  # the core is missed, the whole exact
    prediction[12:] = 1
    truth[12:] = 3
    assert hausdorff95_per_class(prediction, truth, BRAIN, MM) == (0.0, None)
    assert surface_dice_per_class(prediction, truth, BRAIN, MM, 0.0) == (1.0, 0.0)


def test_dice_refuses_other_shapes_and_classes() -> None:
    with pytest.raises(ValueError, match="shape"):
        dice_per_class(np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8), TWO)
    with pytest.raises(ValueError, match="class"):
        dice_per_class(np.full((2, 2, 2), 2, np.uint8), np.zeros((2, 2, 2), np.uint8), TWO)


def cube(start: int, side: int = 4, size: int = 16) -> np.ndarray:
    """A cube of ``side`` voxels from ``start`` on the first axis."""
    volume = np.zeros((size, size, size), np.uint8)
    volume[start : start + side, 4 : 4 + side, 4 : 4 + side] = 1
    return volume


def brute_surface_distances(a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """From every surface voxel of ``a`` to the nearest of ``b``; a surface voxel has a face that is not in the mask."""

    def surface(mask: np.ndarray) -> np.ndarray:
        padded = np.pad(mask.astype(bool), 1)
        inner = padded.copy()
        for axis in range(3):
            inner &= np.roll(padded, 1, axis) & np.roll(padded, -1, axis)
        return np.argwhere(padded & ~inner) * np.array(spacing)

    ours, theirs = surface(a), surface(b)
    return np.linalg.norm(ours[:, None] - theirs[None], axis=-1).min(1)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.5, 3.0)])
def test_surface_metrics_of_blobs_are_brute_force(spacing: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(3)
    a, b = ((rng.random((7, 6, 5)) < share).astype(np.uint8) for share in (0.5, 0.3))
    forth, back = brute_surface_distances(a, b, spacing), brute_surface_distances(b, a, spacing)
    expected = max(np.percentile(forth, 95), np.percentile(back, 95))
    assert hausdorff95_per_class(a, b, TWO, spacing)[0] == pytest.approx(expected, rel=1e-5)
    close = (forth <= 1.2).sum() + (back <= 1.2).sum()
    share = surface_dice_per_class(a, b, TWO, spacing, tolerance=1.2)[0]
    assert share == pytest.approx(close / (len(forth) + len(back)), rel=1e-5)


def test_distances_are_in_millimetres() -> None:
    # Two equal cubes, two voxels apart on an axis of 2.5 mm: opposite faces are 5 mm apart.
    assert hausdorff95_per_class(cube(2), cube(4), TWO, (2.5, 1.0, 1.0)) == (5.0,)
    assert surface_dice_per_class(cube(2), cube(4), TWO, (2.5, 1.0, 1.0), tolerance=5.0) == (1.0,)
    assert surface_dice_per_class(cube(2), cube(2), TWO, MM, tolerance=0.0) == (1.0,)


def test_a_mask_at_the_images_border_has_its_surface_there() -> None:
    a = np.ones((3, 3, 3), np.uint8)
    b = np.zeros((3, 3, 3), np.uint8)
    b[0] = 1
    forth, back = brute_surface_distances(a, b, MM), brute_surface_distances(b, a, MM)
    expected = max(np.percentile(forth, 95), np.percentile(back, 95))
    assert hausdorff95_per_class(a, b, TWO, MM)[0] == pytest.approx(expected)


def test_empty_classes_have_no_distance_and_false_positives_no_surface_dice() -> None:
    nothing = np.zeros((16, 16, 16), np.uint8)
    assert surface_dice_per_class(nothing, nothing, TWO, MM, 1.0) == (None,)
    assert surface_dice_per_class(cube(2), nothing, TWO, MM, 1.0) == (0.0,)
    assert surface_dice_per_class(nothing, cube(2), TWO, MM, 1.0) == (0.0,)
    for pair in ((nothing, nothing), (cube(2), nothing), (nothing, cube(2))):
        assert hausdorff95_per_class(*pair, TWO, MM) == (None,)


def test_a_surface_of_any_size_has_its_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    # torch.quantile, which MONAI's own function calls, refuses more than 2^24 voxels; those take a minute.
    def refuse(values: torch.Tensor, *_: float) -> torch.Tensor:
        raise RuntimeError("quantile() input tensor is too large")

    monkeypatch.setattr(torch, "quantile", refuse)
    assert hausdorff95_per_class(cube(2), cube(4), TWO, (2.5, 1.0, 1.0)) == (5.0,)


SCHEME = LabelScheme.of("background", "organ", "tumour")


def score(case: str, prediction: list[int], truth: list[int]) -> CaseScores:
    return score_case(case, *(np.array(x, np.uint8).reshape(-1, 1, 1) for x in (prediction, truth)), SCHEME)  # type: ignore[misc, arg-type]


def test_both_empty_class_rules() -> None:
    rows = [
        score("all right", [1, 1, 2, 0], [1, 1, 2, 0]),
        score("both empty", [1, 0, 0, 0], [1, 1, 0, 0]),
        score("false positive", [1, 1, 2, 0], [1, 1, 0, 0]),
        score("missed", [1, 1, 0, 0], [1, 1, 2, 0]),
    ]
    evaluation = summarise(rows)
    assert evaluation.excluded_empty == 1
    assert evaluation.false_positive_empty == 1
    assert [row.false_positive for row in rows] == [(), (), ("tumour",), ()]
    assert evaluation.per_class == pytest.approx({"organ": (1 + 2 / 3 + 1 + 1) / 4, "tumour": (1 + 0 + 0) / 3})
    assert evaluation.mean == pytest.approx(((1 + 2 / 3 + 1 + 1) / 4 + 1 / 3) / 2)


def test_the_mean_is_over_cases_first() -> None:
    # tumour in one case of three: a mean over all pairs would be (1 + 1 + 1 + 0) / 4.
    rows = [score("a", [1, 2], [1, 0]), score("b", [1, 0], [1, 0]), score("c", [1, 0], [1, 0])]
    assert summarise(rows).mean == pytest.approx((1 + 0) / 2)


def test_a_class_that_is_nowhere_has_no_mean() -> None:
    evaluation = summarise([score("a", [1, 0], [1, 0])])
    assert evaluation.per_class == {"organ": 1.0, "tumour": None}
    assert evaluation.mean == 1.0


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(UserError, match="no case has any foreground"):
        summarise([score("a", [0, 0], [0, 0])])


@settings(deadline=None, max_examples=10)
@given(prediction=volumes, truth=volumes)
def test_json_and_back(prediction: np.ndarray, truth: np.ndarray) -> None:
    truth[0, 0, 0] = 1
    options = Options(surface_tolerance=1.0, hausdorff=True)
    row = score_case("a", prediction, truth, LabelScheme.of("background", "x", "y", "z"), options=options)
    evaluation = summarise([row, row])
    assert Evaluation.from_json(json.loads(json.dumps(evaluation.to_json(), allow_nan=False))) == evaluation
    assert set(evaluation.to_json()["cases"][0]["dice"]) == {"x", "y", "z"}
