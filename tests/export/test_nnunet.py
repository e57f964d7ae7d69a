"""The nnU-Net trainer: what it needs of us, and, where nnU-Net is installed, the trainer in nnU-Net's hands."""

import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from c2fnas import Architecture, build_network
from c2fnas.errors import UserError
from c2fnas.export.nnunet import ARCHITECTURE_FILE, TRAINER, export_nnunet
from c2fnas.export.nnunet_network import NnunetNetwork

ARCHITECTURE = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")


class Base:
    """As much of nnU-Net's trainer as ours touches; the real one is tried where it is installed."""

    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict, device: torch.device) -> None:
        self.enable_deep_supervision = True
        self.arguments = (plans, configuration, fold, dataset_json, device)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An exported trainer."""
    export_nnunet(ARCHITECTURE, tmp_path / "trainer")
    return tmp_path / "trainer"


@pytest.fixture
def trainer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The exported class, above a stand-in for nnU-Net's."""
    for name in (
        "nnunetv2",
        "nnunetv2.training",
        "nnunetv2.training.nnUNetTrainer",
        "nnunetv2.utilities",
        "nnunetv2.utilities.plans_handling",
    ):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    base = ModuleType("nnunetv2.training.nnUNetTrainer.nnUNetTrainer")
    base.nnUNetTrainer = Base  # type: ignore[attr-defined]
    plans = ModuleType("nnunetv2.utilities.plans_handling.plans_handler")
    plans.ConfigurationManager = plans.PlansManager = object  # type: ignore[attr-defined]
    for module in (base, plans):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    spec = importlib.util.spec_from_file_location(TRAINER, folder / f"{TRAINER}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, TRAINER)


def test_axes_are_reversed_so_that_the_last_is_through_the_slices() -> None:
    torch.manual_seed(0)
    theirs = NnunetNetwork(ARCHITECTURE, in_channels=2, classes=3).eval()
    ours = build_network(ARCHITECTURE, in_channels=2, classes=3).eval()
    ours.load_state_dict(theirs.network.state_dict())
    x = torch.randn(1, 2, 5, 9, 12)  # k, j, i
    expected = ours(x.permute(0, 1, 4, 3, 2)).permute(0, 1, 4, 3, 2)
    assert torch.equal(theirs(x), expected)
    assert theirs(x).shape == (1, 3, 5, 9, 12)
    assert not torch.allclose(theirs(x), ours(x), atol=1e-3)


def test_a_checkpoint_knows_its_architecture() -> None:
    network = NnunetNetwork(ARCHITECTURE, in_channels=1, classes=2)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())  # nnU-Net compares shapes
    NnunetNetwork(ARCHITECTURE, in_channels=1, classes=2).load_state_dict(state)
    other = Architecture.from_text("0:3D 1:P3D 0:3D @0.0625")
    with pytest.raises(ValueError, match=r"0:2D @0.0625.*leads to.*0:3D @0.0625"):
        NnunetNetwork(other, in_channels=1, classes=2).load_state_dict(state)


def test_the_trainer_builds_the_architecture_beside_it(trainer: Any) -> None:
    made = trainer({}, "3d_fullres", 0, {}, torch.device("cpu"))
    assert made.enable_deep_supervision is False
    assert made.arguments == ({}, "3d_fullres", 0, {}, torch.device("cpu"))
    made.set_deep_supervision_enabled(True)  # nnU-Net calls it in any case
    network = trainer.build_network_architecture(None, SimpleNamespace(patch_size=[8, 8, 8]), 2, 4, False)
    assert network(torch.zeros(1, 2, 8, 8, 8)).shape == (1, 4, 8, 8, 8)
    assert network.network.architecture == ARCHITECTURE


def test_two_dimensional_configurations_are_refused(trainer: Any) -> None:
    with pytest.raises(ValueError, match="3d_fullres"):
        trainer.build_network_architecture(None, SimpleNamespace(patch_size=[64, 64]), 1, 2)


def test_the_folder_holds_the_trainer_and_the_architecture(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted([ARCHITECTURE_FILE, f"{TRAINER}.py"])
    assert Architecture.load(folder) == ARCHITECTURE
    with pytest.raises(UserError, match="something already"):
        export_nnunet(ARCHITECTURE, folder)


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("nnunetv2") is None, reason="nnunetv2 is not installed")
def test_nnunet_finds_and_builds_it(folder: Path) -> None:
    program = (
        "from types import SimpleNamespace; import torch\n"
        "from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name as find\n"
        f"trainer = find('{TRAINER}')\n"
        "network = trainer.build_network_architecture(None, SimpleNamespace(patch_size=[8, 8, 8]), 1, 3, False)\n"
        "print(tuple(network(torch.zeros(1, 1, 8, 8, 8)).shape))\n"
    )
    environment = os.environ | {"nnUNet_extTrainer": str(folder)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "(1, 3, 8, 8, 8)"
