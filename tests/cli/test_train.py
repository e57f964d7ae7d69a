"""`c2fnas train` as a user calls it: five folds that vote, killed and resumed, two processes under torchrun."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from c2fnas.api.trainings import _design, _refuse_absent_folds, train
from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import UserError
from c2fnas.inference.package import load_package
from c2fnas.runs.folder import RunFolder
from c2fnas.space.architecture import Architecture

ARCHITECTURE = "0:3D 1:P3D 0:2D @0.0625"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("data") / "phantoms", cases=5, test_cases=2)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "c2fnas", *map(str, arguments)]


def c2fnas(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, env=ENVIRONMENT, timeout=300)


def training(dataset: Path, run: Path, *more: object) -> tuple[object, ...]:
    return ("train", dataset, "--run", run, "--architecture", ARCHITECTURE, "--devices", "cpu", *more)


def model_sums(run: Path, fold: int = 4) -> str:
    return (run / f"final/fold-{fold}/model/SHA256SUMS").read_text()


@pytest.mark.long
def test_five_folds_vote(dataset, tmp_path):
    """Trained, extended, predicted with, and scored."""
    run = tmp_path / "run"
    trained = c2fnas(*training(dataset, run, "--iterations", 3, "--folds", "all"))
    assert trained.returncode == 0, trained.stderr
    head, *table = trained.stdout[trained.stdout.index("task ") :].splitlines()
    assert head.split() == ["task", "class", "Dice", "in", "%", "±", "folds", "each", "fold", "cases"]
    assert table[0].split()[1] == "organ"
    assert len(table[0].split()) == 10, "name, class, mean, spread, five folds, cases"
    assert f"c2fnas predict {run}" in trained.stdout
    extended = c2fnas("train", dataset, "--run", run, "--folds", "all", "--extend", 4)
    assert extended.returncode == 0, extended.stderr
    last = [json.loads((run / f"final/fold-{fold}/metrics.jsonl").read_text().splitlines()[-1]) for fold in range(5)]
    assert {line["doing"] for line in last} == {"evaluated"}
    assert all("4 iterations" in (run / f"final/fold-{fold}/model/README.md").read_text() for fold in range(5))
    predicted = c2fnas("predict", run, "-i", dataset / "imagesTs", "-o", tmp_path / "out", "--device", "cpu")
    assert predicted.returncode == 0, predicted.stderr
    assert "5 models" in predicted.stderr
    assert {path.name for path in (tmp_path / "out").glob("*.nii.gz")} == {
        path.name for path in (dataset / "imagesTs").iterdir()
    }
    scored = c2fnas("evaluate", tmp_path / "out", dataset / "labelsTs")
    assert scored.returncode == 0, scored.stderr


@pytest.mark.long
def test_killed_and_called_again_gives_the_same_bits(dataset, tmp_path):
    """The driver is killed with SIGKILL; its worker sees that, saves and leaves."""
    asked = ("--iterations", 60, "--folds", "4")
    assert c2fnas(*training(dataset, tmp_path / "straight", *asked)).returncode == 0
    run = tmp_path / "broken"
    driver = subprocess.Popen(command(*training(dataset, run, *asked)), env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    metrics = run / "final/fold-4/metrics.jsonl"
    end = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count("\n") > 1):
        assert time.monotonic() < end
        assert driver.poll() is None
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    assert not (run / "final/fold-4/model").exists()
    again = c2fnas(*training(dataset, run, *asked))
    assert again.returncode == 0, again.stderr
    assert model_sums(run) == model_sums(tmp_path / "straight")


@pytest.mark.long
@pytest.mark.parametrize("asks", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_cleanly_and_the_same_command_carries_on(dataset, tmp_path, asks):
    asked = training(dataset, tmp_path, "--iterations", 2000, "--folds", "4")
    driver = subprocess.Popen(command(*asked), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "final/fold-4/metrics.jsonl"
    end = time.monotonic() + 120
    while not metrics.exists():
        assert time.monotonic() < end
        assert driver.poll() is None
        time.sleep(0.01)
    driver.send_signal(asks)
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 130
    assert "stopped" in said
    assert "Traceback" not in said
    saved = [int(path.stem) for path in (tmp_path / "final/fold-4/checkpoints").glob("*.json")]
    assert 0 < max(saved) < 2000


@pytest.mark.long
def test_two_processes_under_torchrun_equal_one(dataset, tmp_path):
    """The same batches, shared. Folds already trained are passed by.

    Two iterations: at a learning rate of 0.1 every further one multiplies what rounding has set apart by about twenty.
    """
    asked = ("--iterations", 2, "--precision", "fp32")
    alone = c2fnas(*training(dataset, tmp_path / "one", *asked, "--folds", "3,4"))
    assert alone.returncode == 0, alone.stderr
    run = tmp_path / "both"
    for folds in ("4", "3,4"):
        before = model_sums(run) if (run / "final/fold-4").exists() else None
        together = subprocess.run(
            [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--standalone",
                "--nproc-per-node",
                "2",
                "-m",
                "--",
                *command(*training(dataset, run, *asked, "--folds", folds))[2:],
            ],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            timeout=300,
        )
        assert together.returncode == 0, together.stderr
        assert together.stdout.count("the models are in") == 1, "one process speaks"
        assert before in (None, model_sums(run))
    for fold in (3, 4):
        one, both = (
            load_package(path / f"final/fold-{fold}/model").network.state_dict() for path in (tmp_path / "one", run)
        )
        apart = torch.cat([(both[name] - one[name]).flatten() for name in one]).norm()
        assert apart < 1e-3 * torch.cat([value.flatten() for value in one.values()]).norm()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--architecture", "nothing"), "not an architecture"),
        (("--architecture", "c2fnas-panc", "--width", "0.01"), "whole number of filters"),
        (("--architecture", "c2fnas-panc", "--from", "nowhere"), "no model here"),
        ((), "no architecture to train"),
    ],
)
def test_a_user_error_is_one_paragraph(dataset, tmp_path, arguments, expected):
    said = c2fnas("train", dataset, "--run", tmp_path / "run", *arguments)
    assert said.returncode == 2
    assert expected in said.stderr
    assert "Traceback" not in said.stderr


def test_a_width_is_of_the_network_that_is_repeated(tmp_path):
    """Where --like gives the network, its width may be another; a named network comes before it."""
    like = Architecture.from_text("0:3D 1:P3D 0:2D @0.5")
    assert _design(None, None, None, tmp_path, like) == like
    assert _design(None, None, 0.25, tmp_path, like) == replace(like, width=0.25)
    assert _design("0:3D 0:3D @1", None, 0.25, tmp_path, like) == Architecture.from_text("0:3D 0:3D @0.25")
    assert _design(None, None, None, tmp_path, None) is None


def test_folds_that_are_asked_for_decide_which_there_are(tmp_path):
    """Before anything is read: five by default, and as many as `--set folds.count` says."""
    data = write_phantoms(tmp_path / "phantoms", cases=8, test_cases=0)
    run, options = tmp_path / "run", {"architecture": ARCHITECTURE, "folds": "7", "iterations": 1, "devices": "cpu"}
    with pytest.raises(UserError, match="numbers from 0 to 4"):
        train(data, run, **options)
    with pytest.raises(UserError, match="numbers from 0 to 5"):
        train(data, run, set=["folds.count=6"], **options)
    _refuse_absent_folds("7", data, RunFolder(run), {"folds.count": 8})
