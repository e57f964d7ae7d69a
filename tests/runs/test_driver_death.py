"""A driver killed anywhere and started again: no finished candidate is trained twice, none is lost."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from c2fnas.runs.ledger import Ledger
from c2fnas.space.search_space import SearchSpace

HERE = Path(__file__).parents[1] / "support"
TARGETS = HERE
TRIALS = 8


def start(root: Path, fatal_step: int = 0, seconds: float = 0.05) -> "subprocess.Popen[bytes]":
    arguments = [sys.executable, str(HERE / "toy_driver.py"), str(root), str(fatal_step), str(seconds)]
    return subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": str(TARGETS)})


def done(root: Path) -> dict[str, int]:
    """How often each finished candidate has been called, once the last worker has left."""
    calls = {}
    for folder in sorted((root / "coarse").glob("*")):
        with FileLock(folder / ".worker.lock", timeout=30):
            result = folder / "result.json"
            if result.exists() and json.loads(result.read_text())["kind"] == "done":
                calls[folder.name] = len((folder / "calls").read_text().splitlines())
    return calls


def check(root: Path, finished_before: dict[str, int]) -> None:
    after = done(root)
    assert {name: after[name] for name in finished_before} == finished_before
    trials = Ledger(root / "study.db", "coarse", read_only=True).trials()
    topologies = SearchSpace(cells=6, downsamplings=2).topologies()[:TRIALS]
    assert [trial.architecture.topology for trial in trials] == list(topologies)
    assert [trial.score for trial in trials] == [number**2 / 1000 for number in range(TRIALS)]
    assert sorted(trial.order for trial in trials if trial.order is not None) == list(range(TRIALS))


def killed_at(root: Path, steps: list[int]) -> None:
    finished: dict[str, int] = {}
    for fatal_step in steps:
        assert start(root, fatal_step).wait() == -9
        now = done(root)
        assert {name: now[name] for name in finished} == finished
        finished = now
    assert start(root).wait() == 0
    check(root, finished)


@pytest.mark.long
def test_killed_between_any_two_writes_again_and_again(tmp_path: Path) -> None:
    """Before the job is submitted, before its result is entered, within the entry, and after it."""
    killed_at(tmp_path, [1, 5, 6, 7])


@pytest.mark.long
@pytest.mark.parametrize("fatal_step", range(1, 16))
def test_killed_at_every_step(tmp_path: Path, fatal_step: int) -> None:
    killed_at(tmp_path, [fatal_step])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_time(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    finished: dict[str, int] = {}
    for _ in range(4):
        driver = start(tmp_path, seconds=0.2)
        while not (tmp_path / "study.db").exists() and driver.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 2))
        driver.kill()
        driver.wait()
        now = done(tmp_path)
        assert {name: now[name] for name in finished} == finished
        finished = now
    assert start(tmp_path, seconds=0.2).wait() == 0
    check(tmp_path, finished)
