"""DICOM in, labels out: as of the same image in NIfTI, and as SEG; tables of folders; training on series."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from dicom_files import AXIAL, OBLIQUE, affine_of, write_multiframe, write_series
from highdicom.seg import segread
from program import call
from small_models import PLAN, save_small_model, small_plan, write_image, write_labels

import c2fnas
from c2fnas.data.cache import prepare_cases
from c2fnas.data.layouts import load_dataset
from c2fnas.data.plan import ClassPlan
from c2fnas.data.scan import scan_dataset
from c2fnas.errors import UserError
from c2fnas.inference.model import load_model, predict_folder
from c2fnas.inference.options import Extras
from c2fnas.inference.prediction_files import find_cases

CPU: dict[str, Any] = {"device": "cpu", "precision": "fp32"}
CODE = ("10200004", "SCT", "Liver")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    classes = (PLAN.classes[0], ClassPlan(name="organ", values=(2, 3), code=CODE), PLAN.classes[2])
    save_small_model(tmp_path / "model", plan=small_plan(classes=classes))
    return tmp_path / "model"


def series(folder: Path, seed: int = 0, turn: Any = AXIAL) -> np.ndarray:
    """Write the same image as a series and as NIfTI beside it; returns the affine."""
    affine = affine_of(turn=turn)
    array = write_image(folder.with_name(folder.name + ".nii.gz"), seed=seed, affine=affine)
    write_series(folder, array, turn=turn)
    return affine


def read(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]


@pytest.mark.parametrize("turn", [AXIAL, OBLIQUE])
def test_a_series_gets_the_labels_of_its_nifti(model: Path, tmp_path: Path, turn: Any) -> None:
    affine = series(tmp_path / "in" / "scan", turn=turn)
    loaded = load_model(model)
    expected = read_image_label(loaded.predict(tmp_path / "in" / "scan.nii.gz", **CPU))
    found = loaded.predict(tmp_path / "in" / "scan", **CPU)
    assert np.array_equal(read_image_label(found), expected)
    assert np.allclose(found.affine, affine, atol=1e-5)
    assert loaded.predict(tmp_path / "in" / "scan", output=tmp_path / "out", **CPU) == tmp_path / "out" / "scan.nii.gz"
    assert loaded.predict(tmp_path / "in" / "scan", output=tmp_path / "a.nii", **CPU) == tmp_path / "a.nii"
    for path in (tmp_path / "out" / "scan.nii.gz", tmp_path / "a.nii"):
        assert np.array_equal(read(path), expected)
        assert np.allclose(nibabel.load(path).affine, affine, atol=1e-5)


def read_image_label(image: Any) -> np.ndarray:
    return np.asarray(image.dataobj)


def test_a_folder_of_series_streams_and_a_bad_one_is_passed_over(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        series(tmp_path / "in" / name)
        (tmp_path / "in" / f"{name}.nii.gz").rename(tmp_path / f"{name}.nii.gz")
    write_series(
        tmp_path / "in" / "gap", np.zeros((4, 4, 5), np.int16), change=lambda data, i: data.clear() if i == 2 else None
    )
    series(tmp_path / "cut")
    (tmp_path / "cut").rename(tmp_path / "in" / "cut")
    (tmp_path / "in" / "cut" / "IM0001").write_bytes(b"")
    write_multiframe(tmp_path / "in" / "frames" / "one.dcm", write_image(tmp_path / "c.nii.gz"))
    arguments = ("-i", tmp_path / "in", "-o", tmp_path / "out", "--statistics", "--preview", "--device", "cpu")
    assert call(monkeypatch, "predict", model, *arguments) == 1
    said = capsys.readouterr()
    assert "A slice is missing" in said.err
    assert "an empty file" in said.err
    assert "3 cases predicted" in said.out
    assert sorted(json.loads((tmp_path / "out" / "statistics.json").read_text())) == ["a", "b", "frames"]
    assert (tmp_path / "out" / "a.png").is_file()
    assert call(monkeypatch, "predict", model, *arguments) == 1
    assert "3 were there already" in capsys.readouterr().out
    series(tmp_path / "in" / "a", seed=5)  # newer slices
    (tmp_path / "in" / "a.nii.gz").unlink()
    assert call(monkeypatch, "predict", model, *arguments) == 1
    assert "1 case predicted" in capsys.readouterr().out


def test_a_seg_holds_the_labels_of_the_volume_file(model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    series(tmp_path / "scan", turn=OBLIQUE)
    arguments = ("predict", model, "-i", tmp_path / "scan", "--device", "cpu", "--precision", "fp32", "-q")
    assert call(monkeypatch, *arguments, "-o", tmp_path / "seg", "--format", "dicom-seg") == 0
    assert call(monkeypatch, *arguments, "-o", tmp_path / "nifti") == 0
    values = read(tmp_path / "nifti" / "scan.nii.gz")
    segmentation = segread(tmp_path / "seg" / "scan.seg.dcm")
    found = segmentation.get_volume(combine_segments=True).array.transpose(2, 1, 0)
    own = np.array([0, 2, 5])[found]
    assert np.array_equal(own, values) or np.array_equal(own[:, :, ::-1], values)
    first, second = (each.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for each in segmentation.SegmentSequence)
    assert (first, second) == ("Liver", "Tissue")
    assert call(monkeypatch, *arguments, "-o", tmp_path / "seg", "--format", "dicom-seg") == 0


def test_a_seg_is_scored_as_the_volume_file_is(model: Path, tmp_path: Path) -> None:
    """Predictions and truths: the classes have the values 2 and 5, and the segments the numbers 1 and 2."""
    affine = series(tmp_path / "scan", turn=OBLIQUE)
    loaded = load_model(model)
    for name, extras in (("seg", Extras(dicom_seg=True)), ("nifti", Extras())):
        predict_folder(loaded, tmp_path / "scan", tmp_path / name, extras=extras, **CPU)
    values = read(tmp_path / "nifti" / "scan.nii.gz")
    (tmp_path / "truth").mkdir()
    shifted = nibabel.Nifti1Image(np.roll(values, 1, 0), affine)
    nibabel.save(shifted, tmp_path / "truth" / "scan.nii.gz")

    def scored(predictions: str, labels: str) -> dict[str, Any]:
        """Dice and distances, which take their millimetres from the label's header: equal to its rounding."""
        found = c2fnas.evaluate(tmp_path / predictions, tmp_path / labels, classes=str(model), hausdorff=True)
        distances = {f"{name} mm": value for name, value in found.to_json()["hausdorff95_mm"].items()}
        return {**found.evaluation.per_class, **distances, "mean": found.evaluation.mean}

    assert scored("seg", "truth") == scored("nifti", "truth")
    assert 0 < scored("seg", "truth")["mean"] < 1
    assert scored("truth", "seg") == pytest.approx(scored("truth", "nifti"), rel=1e-6)
    assert scored("seg/scan.seg.dcm", "truth/scan.nii.gz") == scored("seg", "truth")
    assert scored("seg", "nifti")["mean"] == 1
    by_number = c2fnas.evaluate(tmp_path / "seg", tmp_path / "seg", classes="one,two").evaluation
    assert by_number.per_class == {"one": 1.0, "two": 1.0}
    with pytest.raises(UserError, match=r"label 2.*only 0, 1"):
        c2fnas.evaluate(tmp_path / "seg", tmp_path / "seg", classes="organ")
    with pytest.raises(UserError, match=r"scan\.seg\.dcm: its segments are .*--classes"):
        c2fnas.evaluate(tmp_path / "seg", tmp_path / "truth")  # 1 and 2 of the one are 2 and 5 of the other


def test_a_seg_needs_a_series(model: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz")
    with pytest.raises(UserError, match="refers to a series"):
        predict_folder(load_model(model), tmp_path / "in", tmp_path / "out", extras=Extras(dicom_seg=True), **CPU)
    assert not (tmp_path / "out").exists()


def table(tmp_path: Path, names: str) -> Path:
    """A CSV of folders of slices with NIfTI labels."""
    lines = ["id,image,label"]
    for number, name in enumerate(names):
        affine = series(tmp_path / name, seed=number)
        write_labels(tmp_path / "labels" / f"{name}.nii.gz", read(tmp_path / f"{name}.nii.gz"), affine)
        lines.append(f"case{number},{name},labels/{name}.nii.gz")
    (tmp_path / "cases.csv").write_text("\n".join(lines))
    return tmp_path / "cases.csv"


def test_a_table_of_folders_is_predicted(model: Path, tmp_path: Path) -> None:
    csv = table(tmp_path, "ab")
    assert [case.id for case in find_cases(csv, 1)] == ["case0", "case1"]
    result = c2fnas.predict(model, input=csv, output=tmp_path / "out", device="cpu")
    assert result.predicted.done == ("case0", "case1")


def test_series_train_as_their_nifti_does(tmp_path: Path) -> None:
    csv = table(tmp_path, "abc")
    assert c2fnas.check(csv).errors == 0
    scan = scan_dataset(csv)
    before = scan.fingerprint
    assert before.describes(load_dataset(csv))
    (channel,) = before.channels
    assert (channel.name, channel.kind) == ("channel 0 (CT)", "ct")
    unnamed = before.model_copy(update={"channels": (channel.model_copy(update={"name": "channel 0"}),)})
    assert unnamed.describes(load_dataset(csv))  # as a run of before has it
    cached = prepare_cases(load_dataset(csv).training, PLAN, tmp_path / "cache")
    csv.write_text(re.sub(r",([abc]),", r",\1.nii.gz,", csv.read_text()))
    plain = prepare_cases(load_dataset(csv).training, PLAN, tmp_path / "other")
    for name in ("case0", "case1", "case2"):
        assert np.allclose(cached[name].raw, plain[name].raw, atol=1e-4)
        assert np.array_equal(cached[name].label, plain[name].label)
    series(tmp_path / "a", seed=9)
    csv.write_text(csv.read_text().replace(",a.nii.gz,", ",a,"))
    assert not before.describes(load_dataset(csv))


def test_a_copy_of_a_table_has_the_series_too(tmp_path: Path) -> None:
    csv = table(tmp_path / "data", "ab")
    c2fnas.check(csv, fix=tmp_path / "copy")
    for file in (csv.parent / "a").iterdir():
        assert (tmp_path / "copy" / "a" / file.name).read_bytes() == file.read_bytes()


def test_without_the_packages_one_sentence_says_what_to_install(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    series(tmp_path / "in" / "scan")
    for name in ("pydicom", "highdicom", "highdicom.seg"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "in" / "scan.nii.gz").unlink()
    assert call(monkeypatch, "predict", model, "-i", tmp_path / "in", "-o", tmp_path / "out", "-q") == 2
    error = capsys.readouterr().err
    assert "pip install 'c2fnas[dicom]'" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert call(monkeypatch, "check", tmp_path / "in", "-q") == 2
    assert "pip install 'c2fnas[dicom]'" in capsys.readouterr().err
