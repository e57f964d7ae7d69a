"""Models that come with c2fnas are called by name, wherever a model is asked for."""

import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from program import call
from small_models import ARCHITECTURE, PLAN, save_small_model, write_image

from c2fnas import Architecture
from c2fnas.api.evaluations import label_classes
from c2fnas.api.trainings import _package, asked_design
from c2fnas.errors import UserError
from c2fnas.inference import pretrained as shelf
from c2fnas.inference.pretrained import model_folders


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two models that come with c2fnas by the name of toy, and an empty working folder."""
    for fold in (0, 1):
        save_small_model(tmp_path / "shelf" / "toy" / f"fold-{fold}", seed=fold)
    (tmp_path / "shelf" / "__pycache__").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(shelf, "PLACE", tmp_path / "shelf")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "shelf" / "toy"


def test_a_name_stands_for_its_folds_models(toy: Path) -> None:
    assert shelf.pretrained_names() == ("toy",)
    assert model_folders([Path("toy")]) == [toy / "fold-0", toy / "fold-1"]
    assert model_folders([Path("toy/fold-1")]) == [toy / "fold-1"]
    assert shelf.with_design("0:3D " * 100) == "0:3D " * 100  # longer than a file's name may be


def test_a_name_predicts_what_its_folder_predicts(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(Path("in/a.nii.gz"))
    for models, output in (("toy", "one"), (toy, "other")):
        assert call(monkeypatch, "predict", models, "-i", "in", "-o", output, "--device", "cpu", "-q") == 0
    one, other = (np.asarray(nibabel.load(f"{output}/a.nii.gz").dataobj) for output in ("one", "other"))  # type: ignore[attr-defined]
    assert np.array_equal(one, other)
    assert Path("one/prediction.json").read_bytes() == Path("other/prediction.json").read_bytes()


def test_a_folder_of_this_name_goes_before(toy: Path) -> None:
    save_small_model(Path("toy/model"), seed=5)
    assert model_folders([Path("toy")]) == [Path("toy/model")]


def test_a_folder_that_hides_a_name_is_told_of(toy: Path) -> None:
    Path("toy").mkdir()
    with pytest.raises(UserError, match="hides the models of this name"):
        model_folders([Path("toy")])


@pytest.mark.parametrize("name", ["nowhere", "toy/fold-7", "/toy", "."])
def test_an_unknown_name_is_answered_with_those_there_are(
    toy: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(Path("in/a.nii.gz"))
    assert call(monkeypatch, "predict", name, "-i", "in", "-o", "out", "-q") == 2
    assert "comes with c2fnas (toy)" in capsys.readouterr().err


def test_where_none_comes_along_the_answer_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "PLACE", tmp_path)
    with pytest.raises(UserError, match="there is none"):
        model_folders([Path("nowhere")])


def test_fine_tuning_starts_from_one_of_them(toy: Path) -> None:
    assert _package(Path("toy/fold-1")) == toy / "fold-1"
    with pytest.raises(UserError, match="2 models"):
        _package(Path("toy"))


def test_its_classes_are_evaluated(toy: Path) -> None:
    assert label_classes("toy", Path("labels"), []) == PLAN.scheme
    assert [each.name for each in label_classes("toy=1", Path("labels"), []).classes] == ["background", "toy"]


def test_its_design_is_a_design(toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked_design("toy", None, Path("run")) == ARCHITECTURE
    assert call(monkeypatch, "describe", "toy") == 0
    assert ARCHITECTURE.to_text() in capsys.readouterr().out
    assert call(monkeypatch, "export", "toy", "-f", "nnunet", "-o", "trainer") == 0
    assert Architecture.load("trainer") == ARCHITECTURE


def test_one_of_them_is_exported(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "export", "toy/fold-0", "-f", "model", "--half", "-o", "copy") == 0
    assert call(monkeypatch, "import", "copy.zip", "-o", "none") == 2
    assert call(monkeypatch, "export", "copy", "-f", "zip", "--half", "-o", "copy.zip") == 0
    assert call(monkeypatch, "import", "copy.zip", "-o", "again") == 0
    assert Path("again/SHA256SUMS").read_bytes() == Path("copy/SHA256SUMS").read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "onnx", "--half"), "--half --format onnx"),
        (("--format", "zip", "--licence", "CC0"), "--about and --licence"),
        (("--format", "bundle", "--about", "x"), "--about and --licence"),
        (("--format", "zip"), "not a fold of a run"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    toy: Path, options: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "export", "toy", "--output", "out", *options) == 2
    assert said in capsys.readouterr().err
    assert not Path("out").exists()


def test_names_are_found_without_torch() -> None:
    code = "import sys, c2fnas.inference.pretrained as p; p.with_design('x'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
