"""Hazards of a cluster, on a real one of several nodes on this machine."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from test_local import TARGETS, alive, job, until

pytestmark = pytest.mark.long
ray = pytest.importorskip("ray", reason="needs the extra c2fnas[ray]")


@pytest.fixture
def cluster(ray_alone: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without cores and one node of one core."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(TARGETS))
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


def test_closing_lets_a_running_job_save(tmp_path: Path, connect: Callable[..., Any]) -> None:
    with connect(grace=20) as executor:
        executor.submit(job(tmp_path, "saves_when_asked"))
        until((tmp_path / "one/began").exists)
    assert (tmp_path / "one/saved").exists()


DRIVER = """
import sys
from pathlib import Path
from c2fnas.execution import Job
from c2fnas.execution.ray import RayExecutor
executor = RayExecutor(sys.argv[2], grace=1)
executor.submit(Job("one", "executor_targets:deaf", {}, Path(sys.argv[1]) / "one"))
executor.wait()
"""


def test_workers_leave_with_a_killed_driver(tmp_path: Path, cluster: Any) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path), cluster.address], env=dict(os.environ))
    until(lambda: (tmp_path / "one/pids").exists() and (tmp_path / "one/pids").read_text() != "", 60)
    worker = int((tmp_path / "one/pids").read_text().split()[0])
    assert psutil.pid_exists(worker)
    driver.kill()
    driver.wait()
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
