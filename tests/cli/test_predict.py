"""`c2fnas predict` as a user calls it."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from program import call
from small_models import save_small_model, write_image


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with two folds' models."""
    for fold in (0, 1):
        save_small_model(tmp_path / "run" / "final" / f"fold-{fold}" / "model", seed=fold)
    return tmp_path / "run"


def test_a_folder_is_predicted_then_found_done(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        write_image(tmp_path / "in" / f"{name}.nii.gz", seed=ord(name))
    arguments = (
        "predict",
        run,
        "--input",
        tmp_path / "in",
        "--output",
        tmp_path / "out",
        "--device",
        "cpu",
        "--vote",
        "mean",
        "--mirror",
        "--stride",
        "8",
        "--precision",
        "fp32",
        "--max-memory",
        "8G",
    )
    assert call(monkeypatch, *arguments) == 0
    assert "2 cases predicted" in capsys.readouterr().out
    assert call(monkeypatch, *arguments) == 0
    assert "2 were there already" in capsys.readouterr().out
    assert call(monkeypatch, *arguments[:-4]) == 0  # the precision and the memory change no predictions
    for name in "ab":
        image, label = (nibabel.load(tmp_path / place / f"{name}.nii.gz") for place in ("in", "out"))
        assert image.shape == label.shape
        assert set(np.unique(np.asarray(label.dataobj))) <= {0, 2, 5}  # type: ignore[attr-defined]


def test_a_failed_case_gives_exit_code_1_and_its_name(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "in" / "a.nii.gz")
    (tmp_path / "in" / "b.nii.gz").write_bytes(b"no volume")
    assert call(monkeypatch, "predict", run, "-i", tmp_path / "in", "-o", tmp_path / "out", "-q") == 1
    captured = capsys.readouterr()
    assert str(tmp_path / "in" / "b.nii.gz") in captured.err
    assert "1 of 2 cases failed" in captured.err
    assert (tmp_path / "out" / "a.nii.gz").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--stride", "9"), "--stride 9"),
        (("--stride", "4,4"), "--stride 4,4"),
        (("--max-memory", "much"), "--max-memory much"),
        (("--device", "gpu"), "gpu"),
        (("--input", "nowhere"), "nowhere"),
    ],
)
def test_a_wrong_option_is_one_paragraph_and_exit_code_2(
    run: Path,
    tmp_path: Path,
    option: tuple[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_image(tmp_path / "in" / "a.nii.gz")
    code = call(monkeypatch, "predict", run, "-i", tmp_path / "in", "-o", tmp_path / "out", "-q", *option)
    error = capsys.readouterr().err
    assert code == 2
    assert said in error
    assert "Traceback" not in error
    assert error.count("\n") == 1
