"""`c2fnas search fine` under torchrun: the processes train the super-network, a command without torchrun goes on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fine_run import TOPOLOGY, Listener, inline, prepared_run

from c2fnas.errors import Interrupted, UserError
from c2fnas.runs.overrides import with_values
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import Topology
from c2fnas.stages.pipeline import fine_stage
from c2fnas.stages.supernet import train_supernet, trained_supernet
from c2fnas.stages.together import train_supernet_together
from c2fnas.stages.training import WEIGHTS
from c2fnas.training.checkpoint import has_checkpoint


@pytest.fixture
def prepared(tmp_path: Path) -> Run:
    """fp32, SGD, two iterations: AdamW's first steps, or further ones, multiply what rounding has set apart."""
    run = prepared_run(tmp_path, candidates=3, rungs=1, audit=0)
    recipe = {"precision": "fp32", "iterations": 2, "optimiser": "sgd", "weight_decay": 0.0}
    run.configure(with_values(run.config, {f"fine.recipe.{name}": value for name, value in recipe.items()}))
    return run


def weights(run: Run) -> dict[str, torch.Tensor]:
    return trained_supernet(run, TOPOLOGY.code).state_dict()


@pytest.mark.exact
@pytest.mark.long
def test_two_processes_equal_one_and_the_ranking_goes_on(prepared: Run, tmp_path: Path) -> None:
    shutil.copytree(prepared.folder.root, tmp_path / "both")
    with inline() as executor:
        train_supernet(prepared.using(executor), TOPOLOGY)
    command = (
        "c2fnas",
        "search",
        "fine",
        "--run",
        str(tmp_path / "both"),
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
        assert done.stderr.count("trained, by 2 processes") == 1, "one process speaks"
    both = Run.open(tmp_path / "both")
    assert both.config.fine.candidates == 4
    ours, theirs = weights(prepared), weights(both)
    apart = torch.cat([(theirs[name] - ours[name]).flatten() for name in ours]).norm()
    assert apart < 1e-3 * torch.cat([value.flatten() for value in ours.values()]).norm()
    assert json.loads((both.folder.supernet / "result.json").read_text())["processes"] == 2
    told = (both.folder.supernet / "metrics.jsonl").read_text()
    with inline() as executor:
        found = fine_stage(both.using(executor))
    assert found.topology == TOPOLOGY
    assert (both.folder.supernet / "metrics.jsonl").read_text() == told
    assert not has_checkpoint(both.folder.supernet)


def test_alone_it_trains_too_and_stops_on_request(prepared: Run, tmp_path: Path) -> None:
    listener = Listener()

    def together(topology: Topology | None, reporter: Listener) -> None:
        train_supernet_together(Run(prepared.folder.root, reporter=reporter), {}, topology=topology, kind="cpu")

    with pytest.raises(UserError, match="c2fnas search coarse"):
        together(None, listener)

    class Impatient(Listener):
        def start(self, stage: str, total: float) -> None:
            prepared.folder.stop.touch()

    with pytest.raises(Interrupted):
        together(TOPOLOGY, Impatient())
    assert not (prepared.folder.supernet / WEIGHTS).exists()
    together(None, listener)
    assert listener.stages == ["super-network"]
    assert (prepared.folder.supernet / WEIGHTS).exists()
    written = (prepared.folder.supernet / WEIGHTS).stat().st_mtime_ns
    together(None, listener)
    assert (prepared.folder.supernet / WEIGHTS).stat().st_mtime_ns == written, "the second time nothing is left"
