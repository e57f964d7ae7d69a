"""`c2fnas search fine` under torchrun: the processes train the super-network, a command without torchrun goes on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from c2fnas.stages.fine_jobs import WEIGHTS, trained_supernet
from c2fnas.stages.fine_wish import FineWish
from c2fnas.stages.supernet_together import train_supernet_together
from fine_run import TOPOLOGY, Listener, inline, prepared_run

from c2fnas.errors import Interrupted, UserError
from c2fnas.runs.run import Setting
from c2fnas.space.architecture import Architecture
from c2fnas.stages.fine import train_supernet
from c2fnas.stages.pipeline import fine_stage
from c2fnas.training.checkpoint import has_checkpoint


@pytest.fixture
def prepared(tmp_path: Path) -> Setting:
    """fp32, SGD, two iterations: AdamW's first steps, or further ones, multiply what rounding has set apart."""
    setting = prepared_run(tmp_path, candidates=3, rungs=1, audit=0)
    fine = setting.config.fine
    recipe = fine.recipe.model_copy(
        update={"precision": "fp32", "iterations": 2, "optimiser": "sgd", "weight_decay": 0.0}
    )
    setting.config.model_copy(update={"fine": fine.model_copy(update={"recipe": recipe})}).save(setting.folder.config)
    return Setting.load(setting.folder.root)


def weights(setting: Setting) -> dict[str, torch.Tensor]:
    return trained_supernet(setting, TOPOLOGY.code).state_dict()


@pytest.mark.exact
@pytest.mark.long
def test_two_processes_equal_one_and_the_ranking_goes_on(prepared: Setting, tmp_path: Path) -> None:
    shutil.copytree(prepared.folder.root, tmp_path / "both")
    with inline() as executor:
        train_supernet(prepared, TOPOLOGY, executor, Listener())
    command = (
        "c2fnas",
        "search",
        "fine",
        "--run",
        str(tmp_path / "both"),
        "--quiet",
        "--candidates",
        "4",
        "--topology",
        Architecture.uniform(TOPOLOGY).to_text(),
    )
    for _ in range(2):  # the second time there is nothing left to train
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--standalone",
                "--nproc-per-node",
                "2",
                "-m",
                "--",
                *command,
            ],
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("trained, by 2 processes") == 1, "one process speaks"
    both = Setting.load(tmp_path / "both")
    assert both.config.fine.candidates == 4
    ours, theirs = weights(prepared), weights(both)
    apart = torch.cat([(theirs[name] - ours[name]).flatten() for name in ours]).norm()
    assert apart < 1e-3 * torch.cat([value.flatten() for value in ours.values()]).norm()
    assert json.loads((both.folder.supernet / "result.json").read_text())["processes"] == 2
    told = (both.folder.supernet / "metrics.jsonl").read_text()
    with inline() as executor:
        found = fine_stage(both, executor, Listener())
    assert found.topology == TOPOLOGY
    assert (both.folder.supernet / "metrics.jsonl").read_text() == told
    assert not has_checkpoint(both.folder.supernet)


def test_alone_it_trains_too_and_stops_on_request(prepared: Setting, tmp_path: Path) -> None:
    run, listener = prepared.folder.root, Listener()
    with pytest.raises(UserError, match="c2fnas search coarse"):
        train_supernet_together(run, FineWish(), topology=None, kind="cpu", reporter=listener)

    class Impatient(Listener):
        def start(self, stage: str, total: float) -> None:
            (prepared.folder.supernet).mkdir(parents=True, exist_ok=True)
            (prepared.folder.supernet / "stop").touch()

    with pytest.raises(Interrupted):
        train_supernet_together(run, FineWish(), topology=TOPOLOGY, kind="cpu", reporter=Impatient())
    train_supernet_together(run, FineWish(), topology=None, kind="cpu", reporter=listener)
    assert listener.stages == ["super-network"]
    assert (prepared.folder.supernet / WEIGHTS).exists()
