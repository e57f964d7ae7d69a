"""`c2fnas export` and `c2fnas import` as a user calls them."""

import shutil
from pathlib import Path

import pytest
from program import call
from small_models import ARCHITECTURE, save_small_model

from c2fnas import Architecture, load_model
from c2fnas.inference.package import load_package
from c2fnas.training.recipe import modern_recipe
from c2fnas.training.shortness import card_line


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with one fold's model."""
    save_small_model(tmp_path / "run" / "final" / "fold-0" / "model")
    return tmp_path / "run"


def test_a_model_goes_into_a_file_and_comes_back(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "export", run, "--format", "zip", "--output", tmp_path / "model.zip") == 0
    assert call(monkeypatch, "import", tmp_path / "model.zip", "--output", tmp_path / "model") == 0
    original = load_package(run / "final" / "fold-0" / "model")
    assert load_package(tmp_path / "model").checksum == original.checksum


def test_each_phase_and_a_lack_of_training_are_told(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = run / "final" / "fold-0" / "model"
    assert call(monkeypatch, "export", run, "--format", "zip", "--output", tmp_path / "a.zip") == 0
    said = capsys.readouterr().err
    assert said.splitlines()[0] == "zip: reading, checking and packing weights ..."
    assert "Warning" not in said
    (model / "README.md").write_text(f"# Small\n\n{card_line(modern_recipe(1), 8)}", encoding="utf-8")
    assert call(monkeypatch, "export", run, "--format", "zip", "--output", tmp_path / "b.zip") == 0
    assert capsys.readouterr().err.splitlines()[-1].startswith("Warning: It has seen 2 patches")


@pytest.mark.parametrize("source", ["run", "run/final/fold-0", "run/final/fold-0/model"])
def test_a_models_architecture_becomes_a_trainer(
    run: Path, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / source
    if source == "run":  # which has the architecture that its search has found
        (run / "final" / "architecture.json").write_bytes(
            (run / "final" / "fold-0" / "model" / "architecture.json").read_bytes()
        )
    assert call(monkeypatch, "export", model, "-f", "nnunet", "-o", tmp_path / "trainer") == 0
    assert "nnUNet_extTrainer" in capsys.readouterr().out
    assert Architecture.load(tmp_path / "trainer") == ARCHITECTURE


def test_a_built_in_architecture_becomes_a_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "export", "c2fnas-panc", "-f", "nnunet", "-o", tmp_path / "trainer") == 0
    assert Architecture.load(tmp_path / "trainer") == Architecture.named("c2fnas-panc")


@pytest.mark.long
def test_several_models_become_a_folder_of_onnx_files(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    for fold in (0, 1):
        shutil.copytree(run / "final" / "fold-0" / "model", tmp_path / "folds" / f"fold-{fold}")
    found = load_model(tmp_path / "folds").export("onnx", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["fold-0.onnx", "fold-1.onnx"]
    assert found.use.startswith("2 files, each from image [batch, ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "nowhere", "--format", "zip", "--output", "out"), "no model here"),
        (("export", "run", "--format", "zip", "--output", "run"), "something already"),
        (("export", "two", "--format", "bundle", "--output", "out"), "2 models lie here"),
        (("export", "nonsense", "--format", "nnunet", "--output", "out"), "not an architecture"),
        (("import", "nowhere.zip", "--output", "out"), "cannot be read"),
    ],
)
def test_a_mistake_is_one_paragraph_and_exit_code_2(
    run: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for fold in (0, 1):
        save_small_model(tmp_path / "two" / "final" / f"fold-{fold}" / "model", seed=fold)
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
