"""The loop that drives jobs: what happens in a worker reaches the user."""

from pathlib import Path

import pytest

from c2fnas.execution import Job, LocalProcessExecutor
from c2fnas.runs.folder import RunFolder
from c2fnas.stages.drive import run_all
from c2fnas.stages.progress import Silent

TARGETS = Path(__file__).parents[1] / "contracts"


class Listening(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

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
