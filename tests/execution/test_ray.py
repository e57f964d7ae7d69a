"""Hazards of a cluster, on a real one of several nodes on this machine."""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from test_local import TARGETS, alive, job, until

from c2fnas.execution import Job
from c2fnas.execution.retry import Try

pytestmark = pytest.mark.long
ray = pytest.importorskip("ray", reason="needs the extra c2fnas[ray]")


@pytest.fixture
def cluster(ray_alone: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without cores and one node of one core."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(TARGETS), prepend=os.pathsep)
    opened = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    opened.add_node(num_cpus=1)
    yield opened
    ray.shutdown()
    opened.shutdown()


@pytest.fixture
def connect(cluster: Any) -> Callable[..., Any]:
    from c2fnas.execution.ray import RayExecutor

    return lambda **options: RayExecutor(cluster.address, **options)


def test_the_cluster_is_joined_and_left(connect: Callable[..., Any]) -> None:
    with connect() as executor:
        assert executor.idle == 1
        assert ray.is_initialized()
    assert not ray.is_initialized()


def test_a_job_on_a_lost_node_is_requeued(tmp_path: Path, cluster: Any, connect: Callable[..., Any]) -> None:
    with connect(slots=1) as executor:
        executor.submit(job(tmp_path, "wait_for_and_count", file=str(tmp_path / "go")))
        until((tmp_path / "one/calls").exists)
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        cluster.add_node(num_cpus=1)
        (tmp_path / "go").touch()
        outcome = executor.wait()
    assert outcome.value == {"calls": 2}


def test_new_nodes_are_used(cluster: Any, connect: Callable[..., Any]) -> None:
    with connect() as executor:
        cluster.add_node(num_cpus=2)
        until(lambda: executor.idle == 3)


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "room"),
    [
        ([(6, 0), (6, 0)], 4, 0, 2),  # 12 cores in all, but none for a third job on either node
        ([(64, 0), (2, 2)], 1, 1, 2),
        ([(64, 0), (2, 2)], 4, 1, 1),  # none fits: one waits
        ([(8, 4), (8, 4)], 1, 1, 8),
        ([(8, 1)], 1, 0.1, 8),
        ([(8, 1)], 0, 0, 1),
        ([], 1, 0, 1),
    ],
)
def test_a_job_has_room_on_one_node(nodes: list[tuple[int, int]], cpus: int, gpus: float, room: int) -> None:
    """Jobs beyond that would wait in Ray's queue, counted as if they ran."""
    from c2fnas.execution.ray import room_on

    alive = [{"Alive": True, "Resources": {"CPU": float(cores), "GPU": float(cards)}} for cores, cards in nodes]
    gone = {"Alive": False, "Resources": {"CPU": 99.0, "GPU": 99.0}}
    empty = {"Alive": True, "Resources": {"memory": 1.0}}
    assert room_on([*alive, gone, empty], cpus, gpus) == room


def test_devices_that_join_later_are_used(tmp_path: Path, cluster: Any, connect: Callable[..., Any]) -> None:
    """A cluster may begin without GPUs: jobs take one as soon as there is any."""
    with connect() as executor:
        assert executor.gpus == 0
        cluster.add_node(num_cpus=2, num_gpus=2)
        until(lambda: executor.gpus == 1)
        assert executor.idle == 2  # of three cores
        executor.submit(job(tmp_path, "describe"))
        outcome = executor.wait()
    assert "cuda" in outcome.device


def test_processes_of_ray_serve_one_job_after_another(
    tmp_path: Path, cluster: Any, connect: Callable[..., Any]
) -> None:
    """Each job has a GPU of its own all the same."""
    cluster.add_node(num_cpus=2, num_gpus=2)
    starters = []
    with connect(gpus=1) as executor:
        until(lambda: executor.idle == 2)
        for turn in ("first", "second", "third"):
            (tmp_path / turn).mkdir()
            for name in (f"{turn}-a", f"{turn}-b"):
                target, payload = "executor_targets:sees_beside_another", {"place": str(tmp_path / turn)}
                executor.submit(Job(name, target, payload, tmp_path / name))
            values = [executor.wait().value for _ in range(2)]
            assert {value["gpu"] for value in values} == {"0", "1"}
            starters += [value["starter"] for value in values]
    assert len(set(starters)) < len(starters)


def test_a_cluster_without_room_is_waited_for(tmp_path: Path, cluster: Any, connect: Callable[..., Any]) -> None:
    """A job in the queue has an autoscaler start a node; a search must not end for want of one."""
    with connect() as executor:
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        until(lambda: ray.cluster_resources().get("CPU", 0) == 0)
        assert executor.idle == 1
        executor.submit(job(tmp_path, "describe"))
        assert executor.wait(1.0) is None
        cluster.add_node(num_cpus=1)
        outcome = executor.wait()
    assert outcome.succeeded


def test_closing_lets_a_running_job_save(
    tmp_path: Path, connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that ended when asked is not cancelled: Ray may abort the driver there."""
    cancelled = list[Any]()
    monkeypatch.setattr(ray, "cancel", lambda reference, **options: cancelled.append(reference))
    with connect(grace=20) as executor:
        executor.submit(job(tmp_path, "saves_when_asked"))
        until((tmp_path / "one/began").exists)
    assert (tmp_path / "one/saved").exists()
    assert cancelled == []


def test_a_job_in_the_queue_keeps_no_other_from_saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker has not yet made its folder."""
    cancelled = list[Any]()
    monkeypatch.setattr(ray, "cancel", lambda reference, **options: cancelled.append(reference))
    monkeypatch.setattr(ray, "wait", lambda references, **options: (list(references), []))
    running, queued = (Job(name, "executor_targets:describe", {}, tmp_path / name) for name in ("running", "queued"))
    running.folder.mkdir()
    from c2fnas.execution.ray import RayExecutor, _Task

    executor = RayExecutor.__new__(RayExecutor)
    executor._tasks = [_Task(Try(each), each.id, 0.0) for each in (queued, running)]
    executor._ready, executor.grace, executor._started_here = deque(), 0, False
    executor.close()
    assert (running.folder / "stop").exists()
    assert cancelled == []


DRIVER = """
import signal
import sys
from pathlib import Path
from c2fnas.execution import Job
from c2fnas.execution.ray import RayExecutor
signal.signal(signal.SIGTERM, signal.default_int_handler)
with RayExecutor(sys.argv[2], grace=20) as executor:
    executor.submit(Job("one", "executor_targets:" + sys.argv[3], {}, Path(sys.argv[1]) / "one"))
    executor.wait()
"""


def drive(folder: Path, address: str, target: str) -> subprocess.Popen[str]:
    given = [sys.executable, "-c", DRIVER, str(folder), address, target]
    return subprocess.Popen(given, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def test_sigterm_stops_a_driver_as_ctrl_c_does(tmp_path: Path, cluster: Any) -> None:
    """Slurm ends a job with SIGTERM. Ray would print a stack trace of C++ and leave the running job to its fate."""
    driver = drive(tmp_path, cluster.address, "saves_when_asked")
    until((tmp_path / "one/began").exists, 60)
    driver.terminate()
    _, said = driver.communicate(timeout=60)
    assert "SIGTERM received" not in said
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert (tmp_path / "one/saved").exists()


def test_workers_leave_with_a_killed_driver(tmp_path: Path, cluster: Any) -> None:
    driver = drive(tmp_path, cluster.address, "deaf")
    until(lambda: (tmp_path / "one/pids").exists() and (tmp_path / "one/pids").read_text() != "", 60)
    worker = int((tmp_path / "one/pids").read_text().split()[0])
    assert psutil.pid_exists(worker)
    driver.kill()
    driver.communicate()
    until(lambda: not alive(worker))


def test_without_an_address_a_cluster_that_runs_here_is_left_alone(cluster: Any) -> None:
    from c2fnas.execution.ray import RayExecutor

    with RayExecutor():
        assert ray.get_runtime_context().gcs_address != cluster.address


def test_a_cluster_of_the_environment_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from c2fnas.errors import UserError
    from c2fnas.execution.ray import RayExecutor

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UserError, match=r"The Ray cluster 127\.0\.0\.1:1 cannot be joined"):
        RayExecutor()


def test_a_cluster_that_is_not_there_is_named() -> None:
    from c2fnas.errors import UserError
    from c2fnas.execution.ray import RayExecutor

    with pytest.raises(UserError, match=r"The Ray cluster 127\.0\.0\.1:1 cannot be joined"):
        RayExecutor("127.0.0.1:1")
