"""The case to scroll through: its slices, its pictures, its size."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

from c2fnas.evaluation.metrics import CaseScores
from c2fnas.inference.preview import class_look
from c2fnas.report import viewer
from c2fnas.report.overlays import Volumes
from c2fnas.report.viewer import view_case

SCORES = CaseScores("a", {"organ": 0.5})


def volumes(shape: tuple[int, int, int] = (40, 50, 30)) -> Volumes:
    """A block of class 1 in slices 11 to 14, of which the prediction lacks the last."""
    truth = np.zeros(shape, np.uint8)
    truth[10:20, 10:30, 11:15] = 1
    prediction = truth.copy()
    prediction[:, :, 14] = 0
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return Volumes(image, truth, prediction, prediction, (1.0, 1.0, 3.0))


def picture(address: str) -> np.ndarray:
    head, _, body = address.partition(",")
    return np.asarray(imread(io.BytesIO(base64.b64decode(body)), format=head[len("data:image/") :].partition(";")[0]))


def test_slices_with_structure_and_some_around_are_shown() -> None:
    view = view_case(volumes(), 0, SCORES, ("background", "organ"))
    assert [each.number for each in view.slices] == [11, 12, 13, 14, 15, 16]
    assert [each.truth is not None for each in view.slices] == [False, True, True, True, True, False]
    assert [each.prediction is not None for each in view.slices] == [False, True, True, True, False, False]
    assert (view.count, view.plane, view.edges[0]) == (30, "axial", "R")
    assert view.slices[view.start].number == 12
    assert view.classes == (("organ", class_look(1)[0]),)


def test_labels_lie_where_they_are_and_are_seen_through() -> None:
    (found,) = [each for each in view_case(volumes(), 0, SCORES, ("background", "organ")).slices if each.number == 13]
    assert found.truth is not None
    image, label = picture(found.image), picture(found.truth)
    assert image.shape[:2] == label.shape[:2] == (50, 40)  # the margin holds all of it
    held = label[..., 3] > 0
    rows, columns = np.nonzero(held)
    # The patient's right is on the left, anterior on top.
    assert (rows.min(), rows.max()) == (50 - 30, 50 - 11)
    assert (columns.min(), columns.max()) == (40 - 20, 40 - 11)
    assert label[25, 25, 3] == pytest.approx(viewer.OPACITY, abs=0.01)
    assert label[rows.min(), 25, 3] == 1, "the outline hides what is below it"


def test_a_large_case_takes_few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    large = volumes((300, 300, 20))
    large.truth[:, :, 11:15] = 1
    whole = view_case(large, 0, SCORES, ("background", "organ"))
    monkeypatch.setattr(viewer, "MOST_BYTES", whole.size // 3)
    smaller = view_case(large, 0, SCORES, ("background", "organ"))
    assert smaller.size <= whole.size // 3
    assert len(smaller.slices) == len(whole.slices)


def test_a_long_case_is_thinned_and_an_empty_one_shown() -> None:
    long = volumes((12, 12, 400))
    truth = np.ones_like(long.truth)
    shown = view_case(replace(long, truth=truth, spacing=(1.0, 1.0, 1.0)), 0, SCORES, ("background", "organ"))
    assert len(shown.slices) == viewer.MOST_SLICES
    assert (shown.slices[0].number, shown.slices[-1].number) == (1, 400)
    nothing = np.zeros_like(long.truth)
    empty = view_case(replace(long, truth=nothing, prediction=nothing), 0, SCORES, ("background", "organ"))
    assert all(each.truth is None and each.prediction is None for each in empty.slices)
