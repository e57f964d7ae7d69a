"""The loop that drives jobs: what happens in a worker reaches the user."""

import shutil
from pathlib import Path

import pytest
from executor_targets import calls

from c2fnas.errors import Interrupted
from c2fnas.execution import Job, LocalProcessExecutor
from c2fnas.execution.inline import InlineExecutor
from c2fnas.execution.job import Outcome
from c2fnas.files import append_json_line
from c2fnas.runs.driver import drive, run_jobs
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Run
from c2fnas.training.metrics_log import METRICS

TARGETS = Path(__file__).parents[1] / "support"


class Listening(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shown: list[float] = []
        self.notes: list[str] = []

    def update(self, stage: str, done: float, note: str = "") -> None:
        self.shown.append(done)
        self.notes.append(note)

    def say(self, text: str) -> None:
        self.said.append(text)


def said_of(folder: Path, *whats: str) -> list[str]:
    jobs = [
        Job(f"candidate {what}", "executor_targets:warn", {"what": what}, folder / "coarse" / what[0]) for what in whats
    ]
    reporter = Listening()
    with LocalProcessExecutor(["cpu"]) as executor:
        run_jobs(Run(folder, executor=executor, reporter=reporter), "coarse", jobs)
    return reporter.said


def test_warnings_of_workers_are_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each after its job's name, in a line; those of an earlier call, which were told then, are not."""
    monkeypatch.syspath_prepend(TARGETS)
    assert said_of(tmp_path, "a", "b") == [f"candidate {what}: {what}: damaged. Falling back." for what in "ab"]
    assert "damaged" in (tmp_path / "coarse/a/worker.log").read_text()
    assert said_of(tmp_path, "a again", "b") == ["candidate a again: a again: damaged. Falling back."]


class HalfWay(InlineExecutor):
    """Its job is seen at half its cases once before it ends."""

    seen = False

    def wait(self, timeout: float | None = None) -> Outcome | None:
        if not self.seen:
            self.seen = True
            append_json_line(self.running[0].folder / METRICS, {"doing": "ranked", "done": 2, "total": 4})
            return None
        return super().wait(timeout)


def test_a_job_counts_by_its_units_while_it_runs(tmp_path: Path) -> None:
    """So that an hour's job of a thousand pairs moves the bar, and gives an ETA, before it ends."""
    reporter, ended = Listening(), list[Outcome]()
    waiting = [Job("one", "c2fnas.execution.call:echo", {}, tmp_path / "one")]
    drive(
        Run(tmp_path, executor=HalfWay(), reporter=reporter),
        "ranking",
        lambda: waiting.pop() if waiting else None,
        ended.append,
        finished=lambda: 300.0 * len(ended),
        units=lambda job: 300.0,
    )
    assert reporter.shown == [150.0, 300.0]


class Slow(InlineExecutor):
    """Two jobs at a time, each of which is waited for five times."""

    waits = 0

    @property
    def idle(self) -> int:
        return 2 - len(self.running)

    def wait(self, timeout: float | None = None) -> Outcome | None:
        self.waits += 1
        return super().wait(timeout) if self.waits % 5 == 0 else None


def test_who_has_no_job_now_is_asked_again_after_the_next_result_alone(tmp_path: Path) -> None:
    """A searcher may draw at random before it declines: asked by the clock, it would not repeat itself."""
    asked, ended = list[bool](), list[Outcome]()
    waiting = [Job(name, "c2fnas.execution.call:echo", {}, tmp_path / name) for name in "ab"]

    def propose() -> Job | None:
        job = waiting.pop() if waiting and len(asked) % 2 == 0 else None
        asked.append(job is not None)
        return job

    drive(Run(tmp_path, executor=Slow()), "stage", propose, ended.append, finished=lambda: float(len(ended)))
    assert asked == [True, False, True, False, False]
    assert len(ended) == 2


def answers(name: str, folder: Path, value: dict) -> Job:
    return Job(name, "c2fnas.execution.call:echo", value, folder / name)


def test_outcomes_come_in_the_order_of_the_jobs_and_each_counts(tmp_path: Path) -> None:
    reporter, heard = Listening(), list[str]()
    jobs = [answers(name, tmp_path, {"dice": dice}) for name, dice in (("a", 0.25), ("b", None), ("c", 0.5))]
    run = Run(tmp_path, executor=InlineExecutor(), reporter=reporter)
    outcomes = run_jobs(run, "three", jobs, settle=lambda outcome: heard.append(outcome.job_id))
    assert [outcome.job_id for outcome in outcomes] == heard == ["a", "b", "c"]
    assert reporter.shown == [1, 2, 3]
    assert reporter.notes[-1] == "best Dice 0.5000 of 2"


def test_jobs_that_take_longer_count_for_more(tmp_path: Path) -> None:
    """Widths of a study differ in cost up to 64-fold, and so would an ETA by jobs."""
    reporter = Listening()
    jobs = [answers(name, tmp_path, {}) for name in ("narrow", "wide")]
    run = Run(tmp_path, executor=InlineExecutor(), reporter=reporter)
    run_jobs(run, "scale", jobs, units={"narrow": 10.0, "wide": 640.0})
    assert reporter.shown == [10, 650]


def test_a_lone_job_has_every_core_also_where_it_is_resumed_and_the_next_stage_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of threads is a matter of the stage alone, and so a resumed one computes as it began."""
    monkeypatch.setattr("c2fnas.execution.environment.usable_cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.syspath_prepend(TARGETS)

    def threads(*names: str) -> list[str]:
        jobs = [Job(name, "executor_targets:threads", {}, tmp_path / name) for name in names]
        return [outcome.value["threads"] for outcome in run_jobs(run, "stage", jobs)]  # type: ignore[index]

    with LocalProcessExecutor(["cpu:0", "cpu:1"]) as executor:
        run = Run(tmp_path, executor=executor)
        assert threads("alone") == ["4"]
        assert threads("a", "b") == ["2", "2"]
        shutil.rmtree(tmp_path / "b")
        assert threads("a", "b") == ["2", "2"]


def test_no_jobs_are_no_outcomes(tmp_path: Path) -> None:
    assert run_jobs(Run(tmp_path, executor=InlineExecutor()), "none", []) == []


def test_a_run_without_an_executor_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="`working`"):
        run_jobs(Run(tmp_path), "none", [answers("a", tmp_path, {})])


def test_one_that_ended_answers_at_once_and_one_that_failed_is_tried_again(tmp_path: Path) -> None:
    """The one way of resuming of all lists of jobs."""
    jobs = [
        Job("counted", "executor_targets:describe", {}, tmp_path / "counted"),
        Job("weak", "executor_targets:fails_once", {}, tmp_path / "weak"),
    ]
    first, second, third = (run_jobs(Run(tmp_path, executor=InlineExecutor()), "two", jobs) for _ in range(3))
    assert [outcome.kind for outcome in first] == ["done", "failed"]
    assert "a disk has gone" in (first[1].failure or "")
    assert [outcome.value for outcome in second] == [first[0].value, {"calls": 2}]
    assert [outcome.value for outcome in third] == [outcome.value for outcome in second]
    assert [calls(tmp_path / name) for name in ("counted", "weak")] == [1, 2]


def test_a_stop_file_ends_the_loop_before_the_next_job(tmp_path: Path) -> None:
    run = Run(tmp_path, executor=InlineExecutor())
    jobs = [Job(name, "executor_targets:describe", {}, tmp_path / name) for name in "ab"]
    with pytest.raises(Interrupted, match="Run the same command again"):
        run_jobs(run, "two", jobs, settle=lambda outcome: run.folder.stop.touch())
    assert [calls(job.folder) for job in jobs] == [1, 0]
    with run.locked():  # a command that begins forgets it
        assert len(run_jobs(run, "two", jobs)) == 2
    assert [calls(job.folder) for job in jobs] == [1, 1]
