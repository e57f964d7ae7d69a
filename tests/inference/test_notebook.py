"""Bars in a notebook, and silence in a script: nobody has to ask for either."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_models import save_small_model, write_image

import c2fnas
from c2fnas.runs.reporter import Silent, listening


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Jupyter kernel, as far as libraries look for one."""
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))


def test_a_script_is_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_small_model(tmp_path / "model")
    array = write_image(tmp_path / "a.nii.gz")
    c2fnas.load_model(tmp_path / "model").predict(array, affine=np.eye(4), device="cpu")
    c2fnas.predict(tmp_path / "model", input=tmp_path / "a.nii.gz", output=tmp_path / "out", device="cpu")
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("kernel")
def test_a_notebook_shows_how_far_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_small_model(tmp_path / "model")
    array = write_image(tmp_path / "a.nii.gz", (30, 11, 7))
    c2fnas.load_model(tmp_path / "model").predict(array, affine=np.eye(4), device="cpu")
    assert "predict: 100%" in capsys.readouterr().err
    c2fnas.predict(tmp_path / "model", input=tmp_path / "a.nii.gz", output=tmp_path / "out", device="cpu")
    told = capsys.readouterr()
    assert "1 case, 1 model" in told.out
    assert "predict: 100%" in told.err


@pytest.mark.usefixtures("kernel")
def test_who_listens_is_told_instead() -> None:
    mine = Silent()
    assert listening(mine) is mine
    assert not isinstance(listening(None), Silent)


def test_the_share_that_is_done_grows_to_one(tmp_path: Path) -> None:
    save_small_model(tmp_path / "model")
    write_image(tmp_path / "a.nii.gz", (30, 11, 7))
    model, told = c2fnas.load_model(tmp_path / "model"), []
    from c2fnas.data.volume import read_image
    from c2fnas.inference.options import Options

    predictor = model.predictor(Options(device="cpu"))
    predictor.label(read_image([tmp_path / "a.nii.gz"]), Path("a"), on_share=told.append)
    assert told == sorted(told)
    assert len(told) > 3
    assert told[-1] == 1
