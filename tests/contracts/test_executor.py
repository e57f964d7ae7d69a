"""What every executor must do."""

import importlib.util
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import executor_targets
import pytest

from c2fnas.errors import Interrupted, UserError
from c2fnas.execution import Executor, InlineExecutor, Job, LocalProcessExecutor, Outcome

Factory = Callable[[], Executor]
NEEDS_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra c2fnas[ray]")


def local_processes() -> Executor:
    return LocalProcessExecutor(["cpu:0", "cpu:1"], retries=1, grace=10)


@pytest.fixture(
    params=[pytest.param("inline"), pytest.param("local"), pytest.param("ray", marks=[pytest.mark.long, NEEDS_RAY])]
)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    with _open(request.param) as opened:
        yield opened


def _open(name: str) -> AbstractContextManager[Executor]:
    if name == "ray":
        from c2fnas.execution.ray import RayExecutor

        return RayExecutor(slots=2, retries=1, grace=10)
    return InlineExecutor() if name == "inline" else local_processes()


@pytest.fixture(scope="module")
def ray_cluster(ray_alone: None) -> Iterator[None]:
    """A real cluster on this machine."""
    import ray

    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parents[1] / "support")}},
    )
    yield
    ray.shutdown()


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    def make(target: str, name: str = "one", **payload: object) -> Job:
        return Job(name, f"executor_targets:{target}", payload, tmp_path / name)

    return make


def run(executor: Executor, job: Job) -> Outcome:
    executor.submit(job)
    outcome = executor.wait()
    assert outcome is not None
    assert outcome.job_id == job.id
    return outcome


def test_a_value_comes_back_as_json(executor: Executor, job: Callable[..., Job]) -> None:
    outcome = run(executor, job("describe", numbers=(1, 2.5), text="Grüße"))
    assert (outcome.kind, outcome.failure, outcome.succeeded) == ("done", None, True)
    assert outcome.value == {
        "payload": {"numbers": [1, 2.5], "text": "Grüße"},
        "folder": "one",
        "device": "cpu",
        "pair": [1, 2],
    }
    assert outcome.seconds >= 0
    assert "cpu" in outcome.device


def test_a_failure_is_a_value_with_a_traceback_in_the_folder(executor: Executor, job: Callable[..., Job]) -> None:
    failing = job("fail", why="no gradient")
    outcome = run(executor, failing)
    assert (outcome.kind, outcome.value, outcome.succeeded) == ("failed", None, False)
    assert outcome.failure is not None
    assert outcome.failure.startswith("ValueError: the candidate cannot be trained: no gradient (see ")
    assert 'raise ValueError("the candidate' in (failing.folder / "traceback.txt").read_text()


@pytest.mark.parametrize(
    ("target", "message"), [("leave", "SystemExit"), ("not_json", "TypeError"), ("no_such_target", "AttributeError")]
)
def test_every_way_to_fail_costs_one_candidate(
    executor: Executor, job: Callable[..., Job], target: str, message: str
) -> None:
    outcome = run(executor, job(target))
    assert outcome.kind == "failed"
    assert message in (outcome.failure or "")
    assert run(executor, job("describe", name="next")).succeeded


def test_an_unknown_module_is_a_failure(executor: Executor, tmp_path: Path) -> None:
    assert run(executor, Job("one", "no_such_module:train", {}, tmp_path / "one")).kind == "failed"


def test_what_a_value_means_is_the_callers_affair(executor: Executor, job: Callable[..., Job]) -> None:
    value = run(executor, job("not_a_number")).value
    assert value is not None
    assert math.isnan(value["score"])
    assert value["loss"] == math.inf


def test_out_of_memory_is_retried_once_with_half_the_micro_batch(executor: Executor, job: Callable[..., Job]) -> None:
    large = job("needs_half_the_memory", batch=16)
    outcome = run(executor, large)
    assert outcome.value == {"divisor": 2, "batch": 16}
    assert executor_targets.calls(large.folder) == 2


def test_out_of_memory_twice_fails_the_candidate(executor: Executor, job: Callable[..., Job]) -> None:
    large = job("never_fits")
    outcome = run(executor, large)
    assert outcome.kind == "out_of_memory"
    assert "CUDA out of memory" in (outcome.failure or "")
    assert executor_targets.calls(large.folder) == 2


def test_what_only_the_user_can_mend_is_raised(executor: Executor, job: Callable[..., Job]) -> None:
    executor.submit(job("user_error"))
    with pytest.raises(UserError, match=r"disk\.img: no space is left"):
        executor.wait()
    assert run(executor, job("describe")).succeeded


def test_an_interruption_is_raised_and_the_job_can_be_submitted_again(
    executor: Executor, job: Callable[..., Job]
) -> None:
    executor.submit(job("interrupted_once"))
    with pytest.raises(Interrupted):
        executor.wait()
    assert run(executor, job("interrupted_once")).value == {"calls": 2}


def test_a_job_done_already_is_not_done_again(executor: Executor, job: Callable[..., Job]) -> None:
    done = job("describe", number=1)
    first = run(executor, done)
    second = run(executor, done)
    assert second.value == first.value
    assert executor_targets.calls(done.folder) == 1


def test_another_job_in_the_same_folder_is_done(executor: Executor, job: Callable[..., Job]) -> None:
    run(executor, job("describe", number=1))
    outcome = run(executor, job("describe", number=2))
    assert outcome.value is not None
    assert outcome.value["payload"] == {"number": 2}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"job": 1}', '{"kind": "done"}'])
def test_a_damaged_result_is_no_result(executor: Executor, job: Callable[..., Job], content: str) -> None:
    damaged = job("describe")
    damaged.folder.mkdir()
    (damaged.folder / "result.json").write_text(content)
    assert run(executor, damaged).succeeded
    assert executor_targets.calls(damaged.folder) == 1


def test_a_stop_file_of_yesterday_stops_nothing(executor: Executor, job: Callable[..., Job]) -> None:
    stopped = job("describe")
    stopped.folder.mkdir()
    (stopped.folder / "stop").touch()
    run(executor, stopped)
    assert not (stopped.folder / "stop").exists()


def test_a_stop_file_of_today_stops_a_job_that_has_not_yet_begun(executor: Executor, job: Callable[..., Job]) -> None:
    stopped = job("saves_when_asked")
    executor.submit(stopped)
    stopped.folder.mkdir(exist_ok=True)
    (stopped.folder / "stop").touch()
    with pytest.raises(Interrupted):
        executor.wait()


def test_idle_and_running_tell_what_can_be_submitted(executor: Executor, job: Callable[..., Job]) -> None:
    capacity = executor.idle
    assert capacity >= 1
    assert executor.running == ()
    jobs = [job("describe", name=f"job {index}") for index in range(capacity)]
    for index, one in enumerate(jobs):
        executor.submit(one)
        assert executor.idle == capacity - index - 1
        assert executor.running == tuple(jobs[: index + 1])
    with pytest.raises(RuntimeError, match="nothing is idle"):
        executor.submit(job("describe", name="too many"))
    outcomes = [executor.wait() for _ in jobs]
    assert {outcome.job_id for outcome in outcomes if outcome} == {one.id for one in jobs}
    assert (executor.idle, executor.running) == (capacity, ())


def test_a_job_done_already_takes_a_place_until_it_is_returned(executor: Executor, job: Callable[..., Job]) -> None:
    """Else a driver that carries on would propose the next one before it knows what this one came to."""
    capacity, done = executor.idle, job("describe", number=1)
    run(executor, done)
    executor.submit(done)
    assert executor.idle == capacity - 1
    executor.wait()
    assert executor.idle == capacity


def test_waiting_for_nothing_is_refused(executor: Executor) -> None:
    with pytest.raises(RuntimeError, match="nothing runs"):
        executor.wait()


def test_closed_is_closed(executor: Executor, job: Callable[..., Job]) -> None:
    executor.close()
    assert (executor.idle, executor.running) == (0, ())
    with pytest.raises(RuntimeError, match="closed"):
        executor.submit(job("describe"))


@pytest.fixture(params=[pytest.param("local"), pytest.param("ray", marks=[pytest.mark.long, NEEDS_RAY])])
def many(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """Executors of more than one worker process."""
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    with _open(request.param) as opened:
        yield opened


def test_outcomes_come_in_order_of_completion(many: Executor, job: Callable[..., Job], tmp_path: Path) -> None:
    for name in ("first", "second"):
        many.submit(job("wait_for", name=name, file=str(tmp_path / f"{name}.go")))
    assert many.wait(timeout=0.2) is None
    for name in ("second", "first"):
        (tmp_path / f"{name}.go").touch()
        outcome = many.wait()
        assert outcome is not None
        assert outcome.job_id == name


def test_a_killed_worker_is_called_again_and_resumes(many: Executor, job: Callable[..., Job]) -> None:
    killed = job("killed_then_resumes", killed_at=[3])
    outcome = run(many, killed)
    assert outcome.value == {"steps": 10, "resumed_at": 3}
    assert executor_targets.calls(killed.folder) == 2


def test_retries_are_bounded(many: Executor, job: Callable[..., Job]) -> None:
    killed = job("killed_then_resumes", killed_at=[3, 6])
    outcome = run(many, killed)
    assert outcome.kind == "killed"
    assert outcome.failure is not None
    assert "at last by SIGKILL: nothing was logged" in outcome.failure
    assert executor_targets.calls(killed.folder) == 2
    assert run(many, job("describe", name="next")).succeeded


def test_a_segmentation_fault_costs_one_candidate(many: Executor, job: Callable[..., Job], tmp_path: Path) -> None:
    many.submit(job("wait_for", name="neighbour", file=str(tmp_path / "go")))
    outcome = run(many, job("segmentation_fault"))
    assert outcome.kind == "killed"
    (tmp_path / "go").touch()
    neighbour = many.wait()
    assert neighbour is not None
    assert neighbour.succeeded
