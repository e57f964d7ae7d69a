"""The loop that drives jobs: what happens in a worker reaches the user."""

from pathlib import Path

import pytest

from c2fnas.execution import Job, LocalProcessExecutor
from c2fnas.execution.inline import InlineExecutor
from c2fnas.execution.job import Outcome
from c2fnas.files import append_json_line
from c2fnas.runs.driver import drive, run_all
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.reporter import Silent
from c2fnas.training.metrics_log import METRICS

TARGETS = Path(__file__).parents[1] / "support"


class Listening(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shown: list[float] = []

    def update(self, stage: str, done: float, note: str = "") -> None:
        self.shown.append(done)

    def say(self, text: str) -> None:
        self.said.append(text)


def said_of(folder: Path, *whats: str) -> list[str]:
    jobs = [
        Job(f"candidate {what}", "executor_targets:warn", {"what": what}, folder / "coarse" / what[0]) for what in whats
    ]
    reporter = Listening()
    with LocalProcessExecutor(["cpu"]) as executor:
        run_all(executor, jobs, RunFolder(folder), reporter, "coarse")
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
        HalfWay(),
        lambda: waiting.pop() if waiting else None,
        ended.append,
        folder=RunFolder(tmp_path),
        reporter=reporter,
        stage="ranking",
        finished=lambda: 300.0 * len(ended),
        units=lambda job: 300.0,
    )
    assert reporter.shown == [150.0, 300.0]
