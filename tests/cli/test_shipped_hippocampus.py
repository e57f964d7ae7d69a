"""The hippocampus models that come with c2fnas: whole, small, described, and good on real volumes."""

import json
import re
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from small_models import write_image

from c2fnas.cli import main
from c2fnas.data.scheme import LabelScheme
from c2fnas.evaluation.metrics import dice_per_class
from c2fnas.inference.package import CARD, WEIGHTS, load_package
from c2fnas.inference.pretrained import PLACE, pretrained_names
from c2fnas.training.weights import read_tensors

FOLDER = PLACE / "hippocampus"
FOLDS = sorted(FOLDER.glob("fold-*"))
DATA = Path(__file__).parents[3] / "shared" / "data" / "Task04_Hippocampus"
MEGABYTE = 1_000_000


def predict(images: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Label images as a user does."""
    command = ["c2fnas", "predict", "hippocampus", "-i", str(images), "-o", str(output), "--device", "cpu", "-q"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code


def test_there_are_five() -> None:
    assert "hippocampus" in pretrained_names()
    assert [path.name for path in FOLDS] == [f"fold-{fold}" for fold in range(5)]


@pytest.mark.parametrize("folder", FOLDS, ids=lambda path: path.name)
def test_every_model_is_whole_and_in_half_precision(folder: Path) -> None:
    model = load_package(folder)  # which compares the checksums
    assert [each.name for each in model.plan.classes] == ["background", "Anterior", "Posterior"]
    assert {tensor.dtype for tensor in read_tensors(folder / WEIGHTS, None).values()} == {torch.float16}


def test_the_models_are_small() -> None:
    sizes = [sum(path.stat().st_size for path in folder.iterdir()) for folder in FOLDS]
    assert max(sizes) < 10 * MEGABYTE
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 50 * MEGABYTE


def test_the_card_agrees_with_those_of_the_folds() -> None:
    card = (FOLDER / CARD).read_text()
    *folds, together = re.findall(r"^\| (\S+) \| (\d+) \| (\S+) \| (\S+) \| (\S+) \|$", card, re.MULTILINE)
    assert [fold for fold, *_ in folds] == list("01234")
    for folder, (_, cases, anterior, posterior, mean) in zip(FOLDS, folds, strict=True):
        said = (folder / CARD).read_text()
        assert f"Dice {mean} on {cases} cases" in said
        assert f"Anterior: {anterior}\n  - Posterior: {posterior}" in said
    assert together[0] == "together"
    assert int(together[1]) == sum(int(row[1]) for row in folds)
    for column in (2, 3, 4):  # folds of about equal size
        assert float(together[column]) == pytest.approx(np.mean([float(row[column]) for row in folds]), abs=0.003)
    assert float(together[4]) > 0.8


def test_the_cards_name_data_licence_and_limits() -> None:
    for card in (FOLDER / CARD, *(folder / CARD for folder in FOLDS)):
        text = card.read_text()
        for said in ("CC-BY-SA 4.0", "Vanderbilt University Medical Center", "Decathlon", "Not a medical device"):
            assert said in text, f"{card}: {said}"


def test_an_image_comes_back_in_its_geometry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    affine = np.array([[0, 0, 1.0, -12], [-1.0, 0, 0, 7], [0, 1.2, 0, 3], [0, 0, 0, 1]])
    shape = (36, 51, 33)
    write_image(tmp_path / "in" / "a.nii.gz", shape, affine=affine)
    predict(tmp_path / "in", tmp_path / "out", monkeypatch)
    label = nibabel.load(tmp_path / "out" / "a.nii.gz")
    assert label.shape == shape
    assert np.allclose(label.affine, affine, atol=1e-5)
    assert set(np.unique(np.asarray(label.dataobj))) <= {0, 1, 2}  # type: ignore[attr-defined]
    maker = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert maker["models"] == sorted(load_package(folder).checksum for folder in FOLDS)


def test_real_volumes_are_labelled_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not DATA.is_dir():
        pytest.skip("Task04_Hippocampus is not at hand")
    names = [path.name for path in sorted((DATA / "imagesTr").glob("[!.]*.nii.gz"))[::70]]
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / name).symlink_to(DATA / "imagesTr" / name)
    predict(tmp_path / "in", tmp_path / "out", monkeypatch)
    for name in names:
        ours, truth = (
            np.asarray(nibabel.load(path / name).dataobj).astype(np.uint8)  # type: ignore[attr-defined]
            for path in (tmp_path / "out", DATA / "labelsTr")
        )
        dice = dice_per_class(ours, truth, LabelScheme.of("background", "Anterior", "Posterior"))
        assert None not in dice
        assert np.mean(dice) > 0.8, name  # type: ignore[arg-type]
