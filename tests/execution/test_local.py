"""Hazards of local worker processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import executor_targets
import psutil
import pytest

from c2fnas.execution import Job, LocalProcessExecutor

TARGETS = Path(__file__).parents[1] / "support"


@pytest.fixture(autouse=True)
def _targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TARGETS)


def job(folder: Path, target: str, **payload: object) -> Job:
    return Job("one", f"executor_targets:{target}", payload, folder / "one")


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_closing_lets_a_running_job_save(tmp_path: Path) -> None:
    with LocalProcessExecutor(["cpu"]) as executor:
        executor.submit(job(tmp_path, "saves_when_asked"))
        until((tmp_path / "one/began").exists)
    assert (tmp_path / "one/saved").exists()


def test_closing_ends_a_deaf_job_and_its_children(tmp_path: Path) -> None:
    with LocalProcessExecutor(["cpu"], grace=0.3) as executor:
        executor.submit(job(tmp_path, "deaf"))
        until(lambda: (tmp_path / "one/pids").exists() and (tmp_path / "one/pids").read_text() != "")
    pids = [int(pid) for pid in (tmp_path / "one/pids").read_text().split()]
    until(lambda: not any(alive(pid) for pid in pids))


DRIVER = """
import sys
from pathlib import Path
from c2fnas.execution import Job, LocalProcessExecutor
with LocalProcessExecutor(["cpu"], grace=float(sys.argv[3])) as executor:
    executor.submit(Job("one", "executor_targets:" + sys.argv[2], {}, Path(sys.argv[1]) / "one"))
    executor.wait()
"""


def start_driver(folder: Path, target: str, grace: float) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(TARGETS)}
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(folder), target, str(grace)], env=environment)


def test_ctrl_c_in_the_driver_lets_its_workers_save(tmp_path: Path) -> None:
    driver = start_driver(tmp_path, "saves_when_asked", 10.0)
    until((tmp_path / "one/began").exists)
    driver.send_signal(signal.SIGINT)
    driver.wait()
    assert (tmp_path / "one/saved").exists()


@pytest.mark.parametrize(("target", "sign", "grace"), [("saves_when_asked", "began", 10.0), ("deaf", "pids", 0.3)])
def test_workers_leave_with_a_killed_driver(tmp_path: Path, target: str, sign: str, grace: float) -> None:
    driver = start_driver(tmp_path, target, grace)
    until((tmp_path / "one" / sign).exists)
    workers = [child.pid for child in psutil.Process(driver.pid).children(recursive=True)]
    assert workers
    driver.kill()
    driver.wait()
    until(lambda: not any(alive(pid) for pid in workers))
    assert (tmp_path / "one/saved").exists() == (target == "saves_when_asked")


def test_a_new_driver_waits_for_the_worker_of_a_dead_one(tmp_path: Path) -> None:
    """Two workers in one folder would spoil each other's checkpoints."""
    driver = start_driver(tmp_path, "deaf", 1.0)
    until(lambda: (tmp_path / "one/pids").exists() and (tmp_path / "one/pids").read_text() != "")
    old_worker = int((tmp_path / "one/pids").read_text().split()[0])
    driver.kill()
    driver.wait()
    with LocalProcessExecutor(["cpu"]) as executor:
        executor.submit(job(tmp_path, "is_alone", pid=old_worker))
        outcome = executor.wait()
    assert outcome is not None
    assert outcome.value == {"alone": True}


def test_a_worker_killed_from_outside_resumes(tmp_path: Path) -> None:
    with LocalProcessExecutor(["cpu"], retries=1) as executor:
        executor.submit(job(tmp_path, "waits_and_is_counted", file=str(tmp_path / "go")))
        until(lambda: executor_targets.calls(tmp_path / "one") == 1)
        (worker,) = [each for each in psutil.Process().children() if "c2fnas.execution.worker" in each.cmdline()]
        worker.send_signal(signal.SIGKILL)
        assert executor.wait(timeout=0.5) is None
        (tmp_path / "go").touch()
        outcome = executor.wait()
    assert outcome is not None
    assert outcome.succeeded
    assert executor_targets.calls(tmp_path / "one") == 2


def test_a_kill_for_lack_of_memory_is_told_from_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kills = iter(range(100))
    monkeypatch.setattr("c2fnas.execution.process.kernel_kills", lambda: next(kills))
    with LocalProcessExecutor(["cpu"], retries=0) as executor:
        executor.submit(job(tmp_path, "killed_when_undivided"))
        outcome = executor.wait()
    assert outcome is not None
    assert outcome.value == {"divisor": 2}


@pytest.mark.parametrize(("jobs", "threads"), [(sys.maxsize, "4"), (7, "4"), (2, "6"), (1, "12")])
def test_workers_share_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int, threads: str) -> None:
    monkeypatch.setattr("c2fnas.execution.environment.usable_cores", lambda: 12)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with LocalProcessExecutor(["cpu:0", "cpu:1", "cpu:2"]) as executor:
        executor.stage_jobs = jobs
        executor.submit(job(tmp_path, "threads"))
        outcome = executor.wait()
    assert outcome is not None
    assert outcome.value == {"threads": threads, "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}


@pytest.mark.parametrize("devices", [[], ["cpu", "cpu"]])
def test_devices_are_named_each_once(devices: list[str]) -> None:
    with pytest.raises(ValueError, match="each once"):
        LocalProcessExecutor(devices)
