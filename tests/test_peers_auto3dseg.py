"""MONAI's sides of the comparison with peers: SegResNet by the clock, DiNTS by its own scripts."""

import json
import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.optimizers.lr_scheduler import WarmupCosineSchedule
from small_datasets import write_dataset

from c2fnas.data.folds import FoldChoice, make_folds
from c2fnas.data.layouts import load_dataset

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import auto3dseg_budget
from auto3dseg_budget import WARMUP_FROM, overrides, seed_all, share_of_rate, share_of_warmup
from auto3dseg_side import Auto3dseg, Dints
from peers_command import parsed
from peers_study import Study


def test_the_rate_by_the_clock_is_the_templates_by_the_epoch() -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = WarmupCosineSchedule(optimiser, warmup_steps=3, warmup_multiplier=WARMUP_FROM, t_total=300)
    for epoch in range(300):
        assert share_of_rate(epoch / 300, 3 / 300) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        optimiser.step()
        theirs.step()


def test_the_warm_up_is_a_share_of_the_epochs_that_the_template_would_train() -> None:
    assert share_of_warmup({"num_epochs": 300}, 1) == 3 / 300
    assert share_of_warmup({"num_epochs": 300}, 2) == 3 / 150
    assert share_of_warmup({"num_epochs": 300, "num_warmup_epochs": 30}, 8) == 3 / 100
    assert share_of_warmup({"num_epochs": 2}, 1) == 1.0


def test_seeds_are_set_without_slowing_a_gpu() -> None:
    draws = []
    with torch.backends.cudnn.flags(benchmark=True, deterministic=False):
        for _ in range(2):
            seed_all(3)
            draws.append((random.random(), float(np.random.random()), float(torch.rand(1))))
        assert torch.backends.cudnn.benchmark
        assert not torch.backends.cudnn.deterministic
    assert draws[0] == draws[1]


def test_cases_stay_in_memory(tmp_path: Path) -> None:
    assert overrides({"num_epochs": 300}, 1, tmp_path)["cache_rate"] == 1.0


SEGMENTER = """
import pathlib, yaml
class Segmenter:
    def __init__(self, config_file, config_dict):
        self.config = yaml.safe_load(open(config_file)) | config_dict
        self.model, self.rates = None, []
    def train(self):
        self.config["num_crops_per_image"] = 3
        group = {"lr": 0.0}
        optimizer = type("Optimizer", (), {"param_groups": [group]})
        for _ in range(10**9):
            self.train_epoch(train_loader=[0] * 4, optimizer=optimizer, num_steps_per_image=2)
    def train_epoch(self, *, train_loader, optimizer, num_steps_per_image):
        assert len(train_loader) == 4
        self.rates += [optimizer.param_groups[0]["lr"] for _ in train_loader]
    def checkpoint_save(self, path, model):
        pathlib.Path(path).write_text(str(self.rates[0]))
    def validate(self):
        place = pathlib.Path(self.config["validate#output_path"])
        place.mkdir(parents=True)
        (place / "a.nii.gz").touch()
"""
PLANNED = """
{num_epochs: 30, learning_rate: 0.5, network: {}, resample: false, roi_size: [8, 8, 8], batch_size: 1, amp: false}
"""


def test_a_template_is_trained_until_the_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (
        ("scripts/segmenter.py", SEGMENTER),
        ("configs/hyper_parameters.yaml", PLANNED),
        ("model/x", ""),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "segmenter", raising=False)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    auto3dseg_budget.train(str(tmp_path), "0.05", "0")
    del sys.modules["segmenter"]
    facts = json.loads((tmp_path / "budget.json").read_text())
    assert facts["steps_per_image"] == 2
    assert facts["iterations"] > 0
    assert facts["iterations"] % 2 == 0
    assert facts["batch"] == 3
    assert 0.5 * WARMUP_FROM <= float((tmp_path / "model" / "model.pt").read_text()) <= 0.5
    assert (tmp_path / "predictions" / "labelled" / "a.nii.gz").exists()


def test_dints_by_its_own_script_needs_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cpu", "cuda"):
        with pytest.raises(SystemExit, match="its scripts compute with CUDA alone"):
            Dints(tmp_path, tmp_path, device).refuse_unready()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("auto3dseg_side.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="dints: its scripts import fire and mlflow"):
        Dints(tmp_path, tmp_path, "cuda").refuse_unready()


def test_templates_are_asked_for_before_any_training(tmp_path: Path) -> None:
    words = [
        str(write_dataset(tmp_path / "Organs")),
        "--work",
        str(tmp_path),
        "--try-out",
        "--sides",
        "c2fnas,auto3dseg",
    ]
    with pytest.raises(SystemExit, match="--templates: expected a clone of https"):
        Study(parsed("", words)).refuse_unready()
    with pytest.raises(SystemExit, match="expected the folder segresnet"):
        Study(parsed("", [*words, "--templates", str(tmp_path)])).refuse_unready()


ALGORITHM = """
import os, yaml
from monai.apps.auto3dseg import BundleAlgo

class DintsAlgo(BundleAlgo):
    def fill_template_config(self, data_stats_file, output_path, **kwargs):
        source = yaml.safe_load(open(self.data_list_file))
        path = os.path.join(output_path, "configs", "hyper_parameters.yaml")
        about = yaml.safe_load(open(path)) | {"fold": kwargs["fold"], "root": output_path, **source}
        yaml.safe_dump(about, open(path, "w"))
        return {"hyper_parameters.yaml": about}
"""
TRAINING = """
import os, sys, yaml
(configuration,) = [each for each in sys.argv[2].split("=")[1].strip("'").split(",") if "hyper_parameters" in each]
about = yaml.safe_load(open(configuration))
assert sys.argv[1] == "run" and sys.argv[3:] == ["--random_seed=5"], sys.argv
assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
place = os.path.join(about["root"], f"model_fold{about['fold']}")
os.mkdir(place)
open(os.path.join(place, "accuracy_history.csv"), "w").write("epoch\\titer\\n2\\t37\\n")
"""
INFERENCE = """
import ast, json, os, shutil, sys, yaml
names = ast.literal_eval(sys.argv[2].split("=")[1])
assert [os.path.basename(name) for name in names] == ["hyper_parameters.yaml", "network.yaml", "transforms_infer.yaml"]
about = yaml.safe_load(open(names[0]))
for case in json.load(open(about["datalist"]))["testing"]:
    name = os.path.basename(case["image"])
    place = os.path.join(about["root"], "prediction_testing", name.removesuffix(".nii.gz"))
    os.makedirs(place)
    label = case["image"].replace(".nii.gz", "_label.nii.gz")
    shutil.copy(os.path.join(about["dataroot"], label), os.path.join(place, name))
"""
HYPER = "{training: {resample_resolution: [1.0, 1.0, 1.0], roi_size: [32, 32, 32], num_patches_per_iter: 5, amp: true}}"


def dints_clone(folder: Path) -> Path:
    """A clone of templates, its DiNTS without a network."""
    files = {
        "__init__.py": "",
        "scripts/__init__.py": "",
        "scripts/algo.py": ALGORITHM,
        "scripts/train.py": TRAINING,
        "scripts/infer.py": INFERENCE,
        "configs/hyper_parameters.yaml": HYPER,
    }
    for name, text in files.items():
        place = folder / "auto3dseg" / "algorithm_templates" / "dints" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


@pytest.mark.long
def test_dints_is_made_trained_and_applied_by_its_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    dataset = write_dataset(tmp_path / "Organs")
    splits = make_folds(load_dataset(dataset), FoldChoice("sequential", 2))
    peer = Dints(dints_clone(tmp_path / "clone"), tmp_path / "work", "cpu")
    peer.prepare(dataset, splits, 1)
    labelled, facts = peer.train(1, 60.0, 5)
    assert {path.name.removesuffix(".nii.gz") for path in labelled.iterdir()} == {*splits[1].validation}
    assert facts["iterations"] == 37
    assert facts["batch"] == 5
    assert facts["templates"]["commit"] is None
    assert {*facts["preparation"]} == {*facts["whole"]} == {"wall", "cpu"}


@pytest.mark.long
@pytest.mark.skipif(not os.environ.get("AUTO3DSEG_TEMPLATES"), reason="AUTO3DSEG_TEMPLATES names no clone")
@pytest.mark.parametrize("kind", [Auto3dseg, Dints])
def test_bundles_of_the_real_templates_hold_the_folds(tmp_path: Path, kind: type[Auto3dseg]) -> None:
    dataset = write_dataset(tmp_path / "Organs")
    splits = make_folds(load_dataset(dataset), FoldChoice("sequential", 2))
    peer = kind(Path(os.environ["AUTO3DSEG_TEMPLATES"]), tmp_path / "work", "cpu")
    peer.prepare(dataset, splits, 1)
    text = (peer._bundle(1) / "configs" / "hyper_parameters.yaml").read_text()
    assert "fold: 1\n" in text
    assert str(tmp_path / "work" / "datalist.json") in text
