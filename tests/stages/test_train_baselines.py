"""The compared networks in our loop: trained, packaged, loaded, predicted with and fine-tuned as an architecture is."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from c2fnas.api.trainings import _design
from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import UserError
from c2fnas.execution import InlineExecutor
from c2fnas.inference.package import load_package
from c2fnas.networks.baselines import BASELINES, Baseline
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages.deployment import Deployed
from c2fnas.stages.train import TrainOptions, train_architecture

SMALL = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")
UNET = Baseline("unet3d", 1 / 16)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("data") / "phantoms", cases=5, test_cases=1)


@pytest.fixture(scope="module")
def begun(dataset, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "begun"
    train(dataset, run, design=UNET, iterations=2)
    return run


def train(dataset: Path, run: Path, *, iterations: int | None = None, **options: Any) -> Deployed:
    overrides = {} if iterations is None else {"deployment.recipe.iterations": iterations}
    asked = TrainOptions(**options, overrides=overrides)
    return train_architecture(Run(run), dataset, asked, lambda devices: InlineExecutor(devices[0]), ("cpu",))


def test_leaves_a_package_that_loads(begun) -> None:
    folder = begun / "final/fold-4/model"
    model = load_package(folder)
    assert model.design == UNET
    assert json.loads((folder / "network.json").read_text()) == UNET.to_json()
    assert not (folder / "architecture.json").exists()
    assert "network.json" in (folder / "SHA256SUMS").read_text()
    with torch.no_grad():
        assert model.network(torch.zeros(1, 1, 17, 20, 9)).shape == (1, len(model.plan.classes), 17, 20, 9)


def test_its_card_says_that_it_was_not_searched(begun) -> None:
    card = (begun / "final/fold-4/model/README.md").read_text()
    assert "A network of a fixed form, trained" in card
    assert "`unet3d @0.0625`" in card
    assert "architecture search" not in card
    assert "The search" not in card


def test_a_damaged_design_is_noticed(begun, tmp_path) -> None:
    folder = shutil.copytree(begun / "final/fold-4/model", tmp_path / "model")
    (folder / "network.json").write_text(json.dumps(Baseline("unet3d", 0.125).to_json()))
    with pytest.raises(UserError, match=r"network\.json: damaged"):
        load_package(folder)


def test_called_again_it_changes_nothing(dataset, begun) -> None:
    sums = begun / "final/fold-4/model/SHA256SUMS"
    before = (sums.read_text(), sums.stat().st_mtime_ns)
    for given in ({}, {"design": UNET, "iterations": 2}):
        assert train(dataset, begun, **given).design == UNET
        assert (sums.read_text(), sums.stat().st_mtime_ns) == before


@pytest.mark.parametrize("other", [SMALL, Baseline("vnet", 1 / 16), Baseline("unet3d", 1 / 8)])
def test_all_folds_of_a_run_are_of_one_network(dataset, begun, other) -> None:
    with pytest.raises(UserError, match=r"of another architecture, unet3d @0\.0625, not"):
        train(dataset, begun, design=other)


def test_a_run_of_an_architecture_takes_no_other_network(dataset, tmp_path) -> None:
    train(dataset, tmp_path / "run", design=SMALL, iterations=1)
    with pytest.raises(UserError, match="of another architecture, 0:3D"):
        train(dataset, tmp_path / "run", design=UNET)


def test_fine_tuning_takes_the_models_network(dataset, begun, tmp_path) -> None:
    result = train(dataset, tmp_path / "run", start=begun / "final/fold-4/model", iterations=1)
    assert result.design == UNET
    assert load_package(result.models[0]).design == UNET


def test_what_the_command_line_asks_for(begun, tmp_path) -> None:
    assert _design(None, None, None, tmp_path) is None
    assert _design(None, "vnet", None, tmp_path) == Baseline("vnet")
    assert _design(None, "vnet", 0.5, tmp_path) == Baseline("vnet", 0.5)
    assert _design(None, None, 0.5, begun) == Baseline("unet3d", 0.5)
    assert _design("0:3D 1:P3D 0:2D @1", None, 0.0625, begun) == SMALL


def test_a_network_may_be_a_file(begun, tmp_path) -> None:
    assert _design(None, str(begun / "final/fold-4/model/network.json"), None, tmp_path) == UNET
    planned = Baseline("dynunet", levels=(((3, 3, 1), (1, 1, 1)), ((3, 3, 3), (2, 2, 1))))
    (tmp_path / "planned.json").write_text(json.dumps(planned.to_json()))
    assert _design(None, str(tmp_path / "planned.json"), 0.5, tmp_path) == replace(planned, width=0.5)
    (tmp_path / "none.json").write_text(json.dumps({"levels": []}))
    with pytest.raises(UserError, match=r'none\.json: a network is written {"network": NAME'):
        _design(None, str(tmp_path / "none.json"), None, tmp_path)
    with pytest.raises(UserError, match=r"missing\.json: cannot be read"):
        _design(None, str(tmp_path / "missing.json"), None, tmp_path)


@pytest.mark.parametrize(
    ("architecture", "network", "width", "said"),
    [
        ("c2fnas-panc", "vnet", None, "one of the two"),
        (None, "resnet", None, "unknown network 'resnet': choose unet3d"),
        (None, "vnet", -1.0, "positive"),
        (None, "vnet", float("nan"), "positive"),
    ],
)
def test_what_it_refuses(tmp_path, architecture, network, width, said) -> None:
    with pytest.raises(UserError, match=said):
        _design(architecture, network, width, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(BASELINES))
def test_each_of_them_trains_and_loads(dataset, tmp_path, name) -> None:
    result = train(dataset, tmp_path / "run", design=Baseline(name, 1 / 16), iterations=2)
    model = load_package(result.models[0])
    assert model.design == Baseline(name, 1 / 16)
    assert 0 <= result.evaluations[0].mean <= 1
    assert all(torch.isfinite(value).all() for value in model.network.state_dict().values())


@pytest.mark.long
def test_from_the_command_line_to_a_prediction(dataset, tmp_path) -> None:
    def c2fnas(*arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "c2fnas", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=400,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run, out = tmp_path / "run", tmp_path / "out"
    said = c2fnas(
        "train", dataset, "--run", run, "--network", "dynunet", "--width", 1 / 16, "--iterations", 2, "--devices", "cpu"
    )
    assert "dynunet @0.0625" in said
    c2fnas("predict", run, "-i", dataset / "imagesTs", "-o", out, "--device", "cpu")
    for image in (dataset / "imagesTs").iterdir():
        predicted = nibabel.load(out / image.name)
        assert predicted.shape == nibabel.load(image).shape[:3]
        assert np.allclose(predicted.affine, nibabel.load(image).affine)
