"""`c2fnas evaluate` as a user calls it."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from small_models import save_small_model

from c2fnas.cli import main
from c2fnas.evaluation.comparison import paired_bootstrap
from c2fnas.evaluation.metrics import Evaluation


def write(path: Path, voxels: list[int], spacing: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.array(voxels, np.uint8).reshape(-1, 1, 1)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([spacing, 1, 1, 1])), path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three predictions of values 0, 1 and 2, four labels."""
    truth = {"a": [1, 1, 2, 0], "b": [1, 1, 0, 0], "c": [1, 1, 0, 0], "d": [1, 2, 1, 2]}
    prediction = {"a": [1, 0, 2, 0], "b": [1, 1, 2, 0], "c": [1, 1, 0, 0]}
    for name, cases in {"labels": truth, "predictions": prediction}.items():
        for case, voxels in cases.items():
            write(tmp_path / name / f"{case}.nii.gz", voxels)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of a call of the program."""
    monkeypatch.setattr(sys, "argv", ["c2fnas", "evaluate", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def scores(root: Path, monkeypatch: pytest.MonkeyPatch, *options: object) -> dict[str, Any]:
    code = call(monkeypatch, root / "predictions", root / "labels", "--output", root / "scores.json", "-q", *options)
    assert code == 0
    return dict(json.loads((root / "scores.json").read_text()))


def test_the_figures_are_those_counted_by_hand(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = scores(root, monkeypatch)
    assert [row["case"] for row in found["cases"]] == ["a", "b", "c"]
    assert found["cases"][0]["dice"] == {"1": pytest.approx(2 / 3), "2": 1.0}
    assert found["per_class"] == pytest.approx({"1": (2 / 3 + 1 + 1) / 3, "2": (1 + 0) / 2})
    assert found["mean"] == pytest.approx((8 / 9 + 1 / 2) / 2)
    assert found["excluded_empty"] == 1
    assert found["false_positive_empty"] == 1
    assert found["labels_without_prediction"] == ["d"]
    captured = capsys.readouterr()
    assert "0.6944" in captured.out
    assert "1 labels have no prediction" in captured.err


def test_every_figure_says_what_it_rests_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A class that is nowhere is no case of it; missed and invented ones are counted."""
    write(root / "predictions" / "d.nii.gz", [0, 1, 0, 1])
    assert call(monkeypatch, root / "predictions", root / "labels", "--csv", root / "scores.csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["class", "Dice", "cases", "missed", "invented"]
    assert [line.split()[-3:] for line in lines[1:3]] == [["4", "0", "0"], ["3", "1", "1"]]
    with (root / "scores.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [(row["case"], row["class"]) for row in rows] == [(case, name) for case in "abcd" for name in "12"]
    found = scores(root, monkeypatch)
    for row in rows:
        kept = next(each for each in found["cases"] if each["case"] == row["case"])
        assert (float(row["dice"]) if row["dice"] else None) == kept["dice"][row["class"]]
        assert (row["missed"] == "1", row["invented"] == "1") == (
            row["class"] in kept["missed"],
            row["class"] in kept["false_positive"],
        )


def test_single_files_are_of_the_case_of_their_label_whatever_their_names(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root / "one.nii.gz", [1, 0, 2, 0])
    write(root / "other.nii.gz", [1, 1, 0, 0])
    label, found = root / "labels" / "a.nii.gz", root / "found.json"
    against = "--against", root / "other.nii.gz"
    assert call(monkeypatch, root / "one.nii.gz", label, *against, "--output", found, "-q") == 0
    assert [row["case"] for row in json.loads(found.read_text())["cases"]] == ["a"]


def test_a_value_that_no_class_has_is_told_with_what_can_be_done(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no manifest here that could be at fault."""
    assert call(monkeypatch, root / "predictions", root / "labels", "--classes", "organ") == 2
    said = capsys.readouterr().err
    assert "found label 2, expected only 0, 1, the values of the classes. Add the value to the classes" in said


def test_two_folders_are_compared_as_two_trained_networks(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twelve cases: the interval is the bootstrap's, said apart from an answer, which is that nobody can tell."""
    rng = np.random.default_rng(0)
    for number in range(12):
        truth = rng.integers(0, 2, 30)
        for name, wrong in (("ours", 2), ("theirs", 9), ("truth", 0)):
            flipped = truth.copy()
            flipped[:wrong] = 1 - flipped[:wrong]
            write(root / name / f"{number:02d}.nii.gz", flipped.tolist())
    arguments = root / "ours", root / "truth", "--against", root / "theirs"
    assert call(monkeypatch, *arguments, "--output", root / "both.json") == 0
    shown = capsys.readouterr().out
    assert f"{root / 'ours'} cannot be told from {root / 'theirs'}: Dice +0.2" in shown
    assert f"{root / 'ours'} less {root / 'theirs'}, these two trained networks alone, over cases: Dice +0.2" in shown
    assert "better" not in shown
    found = json.loads((root / "both.json").read_text())
    alone = {}
    for name in ("ours", "theirs"):
        assert call(monkeypatch, root / name, root / "truth", "--output", root / "one.json", "-q") == 0
        alone[name] = Evaluation.from_json(
            {key: value for key, value in json.loads((root / "one.json").read_text()).items() if key[:6] != "labels"}
        )
    assert found["against"]["networks"] == paired_bootstrap(alone["ours"], alone["theirs"]).to_json()
    assert found["against"]["comparison"]["answer"] == "cannot tell"
    assert found["mean"] == alone["ours"].mean
    (root / "theirs" / "11.nii.gz").unlink()
    assert call(monkeypatch, *arguments) == 2
    assert "not of the same cases: 12 and 11" in capsys.readouterr().err
    assert call(monkeypatch, *arguments[:3], root / "nowhere") == 2


def test_classes_come_from_the_manifest_beside_the_labels(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "organ", "2": "organ"}}))
    found = scores(root, monkeypatch)
    assert found["per_class"] == pytest.approx({"organ": (2 * 2 / 5 + 2 * 2 / 5 + 1) / 3})


def test_a_manifest_of_windows_is_read_and_one_without_labels_says_nothing_of_classes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notepad begins with a byte order mark; MONAI's data lists have no labels."""
    classes = {"labels": {"0": "background", "1": "organ", "2": "lesion"}}
    (root / "dataset.json").write_text(json.dumps(classes), encoding="utf-8-sig")
    assert set(scores(root, monkeypatch)["per_class"]) == {"organ", "lesion"}
    (root / "dataset.json").write_text(json.dumps({"training": []}))
    assert set(scores(root, monkeypatch)["per_class"]) == {"1", "2"}


def test_cases_of_a_patient_count_as_one_in_the_interval(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two identical scans of each patient say no more than one: the interval is that of a single scan of each."""
    rng = np.random.default_rng(0)
    for number in range(12):
        truth = rng.integers(0, 2, 30)
        for name, wrong in (("ours", 2), ("theirs", int(rng.integers(3, 12))), ("truth", 0)):
            flipped = truth.copy()
            flipped[:wrong] = 1 - flipped[:wrong]
            for phase in ("ED", "ES"):
                write(root / f"{name}-both" / f"p{number:02d}_{phase}.nii.gz", flipped.tolist())
            write(root / f"{name}-single" / f"p{number:02d}.nii.gz", flipped.tolist())

    def compared(scans: str, *options: str) -> dict[str, Any]:
        arguments = root / f"ours-{scans}", root / f"truth-{scans}", "--against", root / f"theirs-{scans}"
        assert call(monkeypatch, *arguments, "--output", root / "x.json", "-q", *options) == 0
        return dict(json.loads((root / "x.json").read_text())["against"]["networks"]["mean"])

    single, grouped, apart = compared("single"), compared("both", "--group-by", "(.+)_E[DS]"), compared("both")
    assert (grouped["cases"], grouped["groups"], apart["groups"]) == (24, 12, 24)
    for end in ("mean", "low", "high"):
        assert grouped[end] == pytest.approx(single[end])
    assert grouped["low"] < apart["low"] < apart["high"] < grouped["high"]
    arguments = root / "ours-both", root / "truth-both", "-q", "--group-by"
    assert call(monkeypatch, *arguments, "(.+)_E[DS]") == 2, "there is no interval without --against"
    assert call(monkeypatch, *arguments, "(.+)_XX", "--against", root / "theirs-both") == 2


@pytest.mark.parametrize(
    ("text", "names"),
    [("organ,lesion", {"organ", "lesion"}), ("organ=2, lesion=1", {"organ", "lesion"}), ("x=1,x=2", set())],
)
def test_classes_by_name(root: Path, text: str, names: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if not names:
        assert call(monkeypatch, root / "predictions", root / "labels", "--classes", text) == 2
        return
    found = scores(root, monkeypatch, "--classes", text)
    assert set(found["per_class"]) == names
    assert found["per_class"]["organ"] == pytest.approx(8 / 9 if text == "organ,lesion" else 1 / 2)


def test_classes_of_a_model(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_small_model(root / "model")  # values 2 and 3, 5
    for path in [*(root / "predictions").iterdir(), *(root / "labels").iterdir()]:
        array = np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]
        write(path, np.array([0, 3, 5])[array].ravel().tolist())
    assert scores(root, monkeypatch, "--classes", root / "model")["per_class"] == pytest.approx(
        {"organ": 8 / 9, "lesion": 1 / 2}
    )


def test_distances_on_request(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = scores(root, monkeypatch, "--surface-tolerance", "1", "--hausdorff")
    assert found["cases"][2]["surface_dice"] == {"1": 1.0, "2": None}
    assert found["cases"][0]["hausdorff95_mm"]["2"] == 0.0
    assert found["hausdorff95_mm"]["2"] == 0.0
    assert found["surface_dice"]["2"] == pytest.approx(0.5)


def test_misses_and_inventions_stand_beside_the_figures(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counted by hand: class 2 is hit in a and invented in b; once a's is missed, no distance is left."""
    found = scores(root, monkeypatch, "--hausdorff")
    assert found["counts"] == {
        "1": {"cases": 3, "missed": 0, "invented": 0, "distances": 3},
        "2": {"cases": 2, "missed": 0, "invented": 1, "distances": 1},
    }
    write(root / "predictions" / "a.nii.gz", [1, 1, 0, 0])
    found = scores(root, monkeypatch, "--hausdorff")
    assert found["counts"]["2"] == {"cases": 2, "missed": 1, "invented": 1, "distances": 0}
    assert [row["missed"] for row in found["cases"]] == [["2"], [], []]
    assert found["hausdorff95_mm"]["2"] is None
    assert "missed  invented  distances" in capsys.readouterr().out


def test_a_miss_counts_at_the_diagonal_on_request(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the volume, 4×1×1 voxels, in millimetres: those of the header, or those that are stated."""
    write(root / "predictions" / "a.nii.gz", [1, 1, 0, 0])
    found = scores(root, monkeypatch, "--hausdorff", "--count-misses")
    distances = [row["hausdorff95_mm"]["2"] for row in found["cases"]]
    assert distances == [pytest.approx(18**0.5), pytest.approx(18**0.5), None]
    found = scores(root, monkeypatch, "--hausdorff", "--count-misses", "--spacing", "2,1,1")
    assert found["hausdorff95_mm"]["2"] == pytest.approx(66**0.5)
    assert call(monkeypatch, root / "predictions", root / "labels", "--count-misses") == 2


def test_distances_are_in_the_stated_spacing_and_it_is_asked_for_where_predictions_had_one(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels of two neighbours, of which one is predicted: distances of 0 and of a voxel, interpolated at 95 %."""
    for distance in (1.0, 7.5):
        found = scores(root, monkeypatch, "--hausdorff", "--spacing", f"{distance},1,1")
        assert found["cases"][0]["hausdorff95_mm"]["1"] == pytest.approx(0.95 * distance)
    for record in ({"spacing": [7.5, 1, 1]}, {"spacings": {"b.nii.gz": [7.5, 1, 1]}}):
        (root / "predictions" / "prediction.json").write_text(json.dumps(record))
        assert call(monkeypatch, root / "predictions", root / "labels", "--hausdorff") == 2
        assert "--spacing" in capsys.readouterr().err
    scores(root, monkeypatch)  # a Dice needs none


def test_two_files_are_a_pair(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = call(
        monkeypatch, root / "predictions" / "a.nii.gz", root / "labels" / "b.nii.gz", "--output", root / "x.json"
    )
    assert code == 0
    assert json.loads((root / "x.json").read_text())["per_class"]["1"] == pytest.approx(2 / 3)


def test_bad_input_is_one_paragraph_and_exit_code_2(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(*arguments: object) -> str:
        assert call(monkeypatch, *arguments, "-q") == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "no volumes here" in refusal(root / "nowhere", root / "labels")
    names = ",".join(f"organ number {number}" for number in range(40))  # longer than a path can be
    assert scores(root, monkeypatch, "--classes", names)["per_class"].keys() >= {"organ number 0"}
    capsys.readouterr()
    assert "tolerance" in refusal(root / "predictions", root / "labels", "--surface-tolerance", "nan")
    assert "a.nii.gz" in refusal(root / "predictions", root / "labels", "--classes", "organ")  # has a value 2
    write(root / "predictions" / "e.nii.gz", [0, 1])
    assert "e.nii.gz" in refusal(root / "predictions", root / "labels")  # no such label
    write(root / "labels" / "e.nii.gz", [0, 1, 0])
    assert "size" in refusal(root / "predictions", root / "labels")
    write(root / "labels" / "e.nii.gz", [0, 1], spacing=2.0)
    assert "affine" in refusal(root / "predictions", root / "labels")


@pytest.mark.parametrize(
    ("voxels", "said"),
    [
        (np.array([0, -1, 1, 0], np.int16), "label -1"),
        (np.array([0, np.nan, 1, 0], np.float32), "label nan"),
        (np.array([0, 0.5, 1, 0], np.float32), "label 0.5"),
        (np.array([0, 2**40, 1, 0], np.float64), "label 1.09951163e+12"),
        (np.array([0, 2**20, 1, 0], np.int32), "label 1048576"),
    ],
)
def test_what_is_no_label_is_refused_where_no_manifest_names_classes(
    voxels: np.ndarray, said: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("labels", "predictions"):
        nibabel.save(nibabel.Nifti1Image(voxels.reshape(4, 1, 1), np.eye(4)), root / folder / "b.nii.gz")
        assert call(monkeypatch, root / "predictions", root / "labels", "-q") == 2
        assert said in capsys.readouterr().err
        write(root / folder / "b.nii.gz", [1, 1, 0, 0])


def test_numbered_objects_are_no_classes(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("labels", "predictions"):
        voxels = np.arange(300, dtype=np.int16).reshape(-1, 1, 1)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), root / folder / "b.nii.gz")
    assert call(monkeypatch, root / "predictions", root / "labels", "-q") == 2
    assert "300 different values" in capsys.readouterr().err


def test_two_files_of_one_case_are_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(root / "predictions" / "a.nii", [0, 0, 0, 0])
    assert call(monkeypatch, root / "predictions", root / "labels", "-q") == 2
    assert "the same case by name" in capsys.readouterr().err
