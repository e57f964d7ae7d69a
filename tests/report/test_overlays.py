"""Figure 6: which cases and slices, which way up, and that the prediction shown is the one that was scored."""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from matplotlib.figure import Figure
from report_runs import PLAN, deployed_run

from c2fnas.data.cache import Cache, PreparedCase
from c2fnas.data.geometry import Geometry
from c2fnas.data.restoration import Restoration
from c2fnas.data.volume import read_image
from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import CaseScores, Evaluation, dice_per_class
from c2fnas.files import write_json
from c2fnas.report import page
from c2fnas.report.figures.overlay import draw_overlay, overlay_height
from c2fnas.report.figures.sections import SECTIONS
from c2fnas.report.final import FinalSummary, FoldSummary
from c2fnas.report.overlays import (
    Predictions,
    original_image,
    predict_case,
    read_overlays,
    shown_volumes,
    telling_cases,
    telling_slices,
    viewed_case,
)
from c2fnas.report.summary import read_report
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.records.job_record import Curve
from c2fnas.runs.records.predictions import keep_prediction

CLASSES = [each.name for each in PLAN.classes]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return deployed_run(tmp_path_factory.mktemp("deployed"))


def test_the_prediction_shown_is_the_one_that_was_scored(deployed: RunFolder) -> None:
    final, cache = read_report(deployed.root).final, Cache.open(deployed.cache)
    for fold, row in final.worst_first:
        assert fold.model is not None
        case = cache[row.case]
        assert case.truth is not None
        found = dice_per_class(predict_case(fold.model, case, "fp32", "cpu"), np.asarray(case.truth), PLAN.scheme)
        assert list(row.dice.values()) == pytest.approx(list(found))


def test_predictions_are_kept(deployed: RunFolder) -> None:
    final, said = read_report(deployed.root).final, list[str]()
    predictions = Predictions(deployed, "fp32", "cpu", said.append)
    first = read_overlays(final, predictions)
    assert said
    said.clear()
    again = read_overlays(final, predictions)
    assert not said
    for one, other in zip(first, again, strict=True):
        for here, there in zip(one.slices, other.slices, strict=True):
            assert np.array_equal(here.prediction, there.prediction)


def test_predictions_of_a_report_elsewhere_leave_the_run_as_it_is(deployed: RunFolder, tmp_path: Path) -> None:
    """It may be one that can only be read."""
    before = sorted(deployed.root.rglob("*"))
    place = tmp_path / "elsewhere"
    read_overlays(read_report(deployed.root).final, Predictions(deployed, "fp32", "cpu", place=place))
    assert [*(place / "predictions").glob("*.npy")]
    assert sorted(deployed.root.rglob("*")) == before


def test_what_the_evaluation_has_kept_is_shown(deployed: RunFolder) -> None:
    """Without a word on predicting; a damaged file is predicted again."""
    final, said = read_report(deployed.root).final, list[str]()
    predictions = Predictions(deployed, "fp32", "cpu", said.append)
    fold, row = final.worst_first[0]
    case = Cache.open(deployed.cache)[row.case]
    assert case.truth is not None
    kept = np.asarray(case.truth).copy()
    assert fold.model is not None
    keep_prediction(fold.model.parent, case, kept)
    file = fold.model.parent / "predictions" / f"{case.folder.name}.npz"
    volumes = predictions.volumes(fold, row.case)
    assert np.array_equal(volumes.truth, volumes.prediction)
    assert not said
    file.write_bytes(file.read_bytes()[:40])
    volumes = predictions.volumes(fold, row.case)
    assert not np.array_equal(volumes.truth, volumes.prediction)
    shutil.rmtree(file.parent)


def test_the_case_to_scroll_through_is_the_worst_or_the_one_named(deployed: RunFolder) -> None:
    final = read_report(deployed.root).final
    assert viewed_case(final) == final.worst_first[0]
    name = final.worst_first[-1][1].case
    assert viewed_case(final, name)[1].case == name
    with pytest.raises(UserError, match=r"--case nobody: no validation case of a final network. There are phantom_"):
        viewed_case(final, "nobody")


def test_the_image_is_that_of_the_file(deployed: RunFolder) -> None:
    """Resampled and back, standardised: the same picture in the file's own voxels, whatever its orientation."""
    for case in Cache.open(deployed.cache).cases.values():
        shown = original_image(case)
        stored = read_image([deployed.root.parent / "Task00" / "imagesTr" / f"{case.id}.nii.gz"]).array[0]
        assert shown.shape == stored.shape
        assert np.corrcoef(shown.ravel(), stored.ravel())[0, 1] > 0.8


def test_every_case_is_drawn(deployed: RunFolder) -> None:
    shown = read_overlays(read_report(deployed.root).final, Predictions(deployed, "fp32", "cpu"))
    assert [each.role for each in shown] == ["best", "median", "worst"]
    for each in shown:
        figure = Figure(figsize=(5, overlay_height(each, 5, CLASSES)))
        draw_overlay(figure, each, CLASSES)
        figure.draw_without_rendering()
        assert len(figure.axes) == 3 * len(each.slices)


def fold_of(dice: dict[str, float | None], model: Path | None = Path("model")) -> FoldSummary:
    rows = tuple(CaseScores(case, {"organ": value}) for case, value in dice.items())
    return FoldSummary(0, Curve(), Evaluation(rows, {"organ": 0.5}, 0.5, 0, 0), model, "0" * 64)


@pytest.mark.parametrize(
    ("dice", "expected"),
    [
        (
            {"a": 0.5, "b": 0.9, "c": 0.1, "d": None, "e": 0.4, "f": 0.7},
            [("best", "b"), ("median", "a"), ("worst", "c")],
        ),
        ({"a": 0.5, "b": 0.9}, [("best", "b"), ("worst", "a")]),
        ({"a": 0.5}, [("worst", "a")]),
        ({}, []),
    ],
)
def test_best_median_and_worst(dice: dict[str, float | None], expected: list[tuple[str, str]]) -> None:
    found = telling_cases(FinalSummary((fold_of(dice),)))
    assert [(role, row.case) for role, _, row in found] == expected


def test_a_damaged_cache_is_told_of(deployed: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "draw_figures", lambda run, overlays, progress: dict.fromkeys(SECTIONS, ()))
    index = deployed.cache / "index.json"
    content = index.read_text()
    index.write_text("{")
    try:
        html = page.write_report(deployed.root, device="cpu").read_text(encoding="utf-8")
    finally:
        index.write_text(content)
    assert "Cases are not shown" in html
    assert "index.json" in html


def test_folds_without_a_model_show_no_case() -> None:
    assert telling_cases(FinalSummary((fold_of({"a": 0.5}, model=None),))) == []


def prepared(folder: Path, truth: np.ndarray, affine: np.ndarray) -> PreparedCase:
    """A case whose prepared grid is its canonical one; the image brightens towards right, anterior and superior."""
    way = Restoration.to_axes(Geometry.from_array(truth.shape, affine))
    i, j, k = np.meshgrid(*(np.arange(n) for n in way.shape), indexing="ij")
    np.save(folder / "image.npy", (i + 100.0 * j + 10000.0 * k).astype(np.float32)[None])
    np.save(folder / "truth.npy", truth)
    write_json(folder / "case.json", {"labelled": True, "restoration": way.to_json()})
    return PreparedCase("a", folder)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SAL"])
@pytest.mark.parametrize(("thick", "plane"), [(0, "sagittal"), (1, "coronal"), (2, "axial")])
def test_slices_are_the_right_way_up_in_every_orientation(tmp_path: Path, axes: str, thick: int, plane: str) -> None:
    """The patient's right on the left, anterior or superior on top, across the thick slices, in proportion."""
    spacing = np.array([1.0, 1.1, 0.9])
    spacing[thick] = 3.0
    canonical = nibabel.Nifti1Image(np.zeros((6, 7, 8), np.uint8), np.diag([*spacing, 1.0]))
    label = np.zeros((6, 7, 8), np.uint8)
    label[3:5, 2:4, 5:7] = 1
    image = nibabel.Nifti1Image(label, canonical.affine)
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(tuple(axes))
    )
    turned = image.as_reoriented(turn)
    truth = np.ascontiguousarray(np.asanyarray(turned.dataobj))
    (shown,) = telling_slices(shown_volumes(prepared(tmp_path, truth, turned.affine), truth))
    assert (shown.plane, shown.why) == (plane, "most structure")
    others = [axis for axis in range(3) if axis != thick]
    assert shown.aspect == pytest.approx(spacing[others[1]] / spacing[others[0]])
    brightens = {0: 1.0, 1: 100.0, 2: 10000.0}
    # From left to right the first of the other axes falls, from top to bottom the second one does.
    assert np.all(np.diff(shown.image, axis=1) == -brightens[others[0]])
    assert np.all(np.diff(shown.image, axis=0) == -brightens[others[1]])
    assert shown.edges == {0: ("A", "P", "S", "I"), 1: ("R", "L", "S", "I"), 2: ("R", "L", "A", "P")}[thick]
    assert shown.truth.sum() == label.sum() // 2


def test_the_slice_with_most_errors_is_shown_too(tmp_path: Path) -> None:
    truth = np.zeros((8, 8, 8), np.uint8)
    truth[2:6, 2:6, 3] = 1
    prediction = truth.copy()
    prediction[2:4, 2:5, 5] = 1
    structure, errors = telling_slices(shown_volumes(prepared(tmp_path, truth, np.eye(4)), prediction))
    assert (structure.number, errors.number) == (4, 6)
    assert (structure.count, structure.plane) == (8, "axial")
    assert (errors.truth.sum(), errors.prediction.sum()) == (0, 6)
