"""Whole volumes in their original geometry: one stream over many cases against each case by hand."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from known_networks import tiny_network
from small_models import small_plan, write_image, write_labels

from c2fnas.data.cache import PreparedCase, prepare_cases
from c2fnas.data.dataset import Case
from c2fnas.data.plan import Plan
from c2fnas.data.scheme import LabelScheme
from c2fnas.errors import UserError
from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.evaluation.metrics import Options, score_case, summarise
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.runs.records.predictions import keep_prediction, kept_prediction

SCHEME = LabelScheme.of("background", "organ", "lesion")
TURNED = np.array([[0.0, 0, -1.5, 0], [1, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1]])


def prepared(folder: Path, plan: Plan, count: int = 3, labelled: bool = True) -> tuple[PreparedCase, ...]:
    """Small cases of several sizes in a grid that is turned, flipped and anisotropic."""
    cases = []
    for number in range(count):
        image, label = folder / f"case{number}.nii.gz", folder / "labels" / f"case{number}.nii.gz"
        array = write_image(image, (5 + number, 6, 7), seed=number, affine=TURNED)
        write_labels(label, array, TURNED)
        cases.append(Case(f"case{number}", (image,), label if labelled else None))
    return tuple(prepare_cases(cases, plan, folder / "cache").cases.values())


@pytest.fixture(params=[(1.0, 1.0, 1.0), (1.0, 1.5, 2.0)], ids=["resampled", "as it is"])
def cases(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[PreparedCase, ...]:
    return prepared(tmp_path, small_plan(spacing=request.param))


def test_it_is_each_case_by_itself(cases: tuple[PreparedCase, ...]) -> None:
    network, window = tiny_network(), SlidingWindow((8, 8, 8), (4, 4, 4), batch=3)
    options = Options(surface_tolerance=1.0, hausdorff=True)
    seen: list[tuple[int, int]] = []
    evaluation = evaluate_network(
        network,
        cases,
        window,
        scheme=SCHEME,
        device="cpu",
        options=options,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    rows = []
    for case in cases:
        labels = case.restoration.argmax(window.scores(network, case.image, device="cpu"))
        assert case.truth is not None
        assert labels.shape == case.truth.shape
        rows.append(score_case(case.id, labels, case.truth, SCHEME, spacing=(1.0, 2.0, 1.5), options=options))
    assert evaluation == summarise(rows)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert 0 < evaluation.mean < 1


def test_what_is_kept_is_what_was_scored(cases: tuple[PreparedCase, ...], tmp_path: Path) -> None:
    folder = tmp_path / "job"
    window = SlidingWindow((8, 8, 8), (4, 4, 4))
    keep = partial(keep_prediction, folder)
    evaluation = evaluate_network(tiny_network(), cases, window, scheme=SCHEME, device="cpu", keep=keep)
    for case, row in zip(cases, evaluation.cases, strict=True):
        labels = kept_prediction(folder, case)
        assert labels is not None
        assert case.truth is not None
        assert score_case(case.id, labels, case.truth, SCHEME, spacing=(1.0, 2.0, 1.5)) == row
    assert kept_prediction(tmp_path, cases[0]) is None


def test_a_case_without_a_label_is_refused(tmp_path: Path) -> None:
    cases = prepared(tmp_path, small_plan(), count=1, labelled=False)
    with pytest.raises(UserError, match="no label"):
        evaluate_network(tiny_network(), cases, SlidingWindow((8, 8, 8), (8, 8, 8)), scheme=SCHEME, device="cpu")
