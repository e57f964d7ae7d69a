"""What the user sees of a run's progress: bars in a terminal, few plain lines elsewhere, nothing when quiet."""

import re
from pathlib import Path

import pytest

from c2fnas.cli import display as module
from c2fnas.cli.display import Display
from c2fnas.execution.job import Job
from c2fnas.files import append_json_line
from c2fnas.runs.live import note_on, progress_to
from c2fnas.training.metrics_log import METRICS

NOTE = "best Dice 0.8012 of 7 · candidate 8: 120/150, loss 0.312, 1.1 GB"


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def told(clock: Clock, *, hours: float, first: float = 0.0, quiet: bool = False) -> None:
    """A stage of ten units that begins at ``first`` and lasts ``hours``, told of twice a second."""
    updates = 2000
    with Display(quiet=quiet) as display:
        display.say("A line worth reading once.")
        display.start("coarse", 10)
        for number in range(updates):
            display.update("coarse", first + (10 - first) * number / updates, NOTE)
            clock.now += 3600 * hours / updates
        display.finish("coarse", "best of 10: Dice 0.8100")


def test_without_a_terminal_there_are_few_plain_lines(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    told(clock, hours=24)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert 50 < len(lines) < 250  # a day, at half a minute each, would be 2,880
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", err)
    assert lines[0] == "A line worth reading once."
    assert lines[-1] == "coarse: done in 1 day, 0:00:00; best of 10: Dice 0.8100"
    assert all(re.fullmatch(rf"coarse: \d+ %(, ETA [\d:, day]+)?; {NOTE}", line) for line in lines[1:-1])


def test_the_eta_of_a_stage_taken_up_again_counts_what_was_gained_since(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    told(clock, hours=1, first=9)
    half = next(line for line in capsys.readouterr().err.splitlines() if ": 95 %" in line)
    hours, minutes, _ = map(int, re.search(r"ETA (\d+):(\d+):(\d+)", half).groups())
    assert 20 <= 60 * hours + minutes <= 40  # half of the hour that this session takes


def test_the_eta_begins_anew_with_a_job_that_does(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Display() as display:
        display.start("coarse", 10)
        for done in (9.5, 2.0, 4.0):  # what a job of an earlier command had left was not its own
            display.update("coarse", done, "")
            clock.now += 60
    assert capsys.readouterr().err.splitlines()[-1] == "coarse: 40 %, ETA 0:03:00"


def test_quiet_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    told(clock, hours=1, quiet=True)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_stage_eta_candidate_dice_and_memory(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    with Display() as display:
        display.start("coarse", 10)
        display.update("coarse", 6.8, NOTE)
        clock.now += 60
        display.update("coarse", 7.8, NOTE)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert re.search(r"coarse .*78%.*ETA 0:02:12", shown)  # as a line without a terminal says
    assert NOTE in shown  # whole, in eighty columns


def test_the_note_on_a_job_is_its_last_line(tmp_path: Path) -> None:
    job = Job("candidate 3", "nowhere:nothing", {}, tmp_path)
    assert note_on(job) == "candidate 3 starts"
    line = {"iteration": 20, "iterations": 50, "loss": 0.51234, "memory": 1_234_000_000}
    append_json_line(tmp_path / METRICS, line)
    assert note_on(job) == "candidate 3: 20/50, loss 0.512, 1.2 GB"
    append_json_line(tmp_path / METRICS, line | {"seconds_per_iteration": 4.2})
    assert note_on(job) == "candidate 3: 20/50, ETA 0:02:06, loss 0.512, 1.2 GB"  # 30 iterations
    append_json_line(tmp_path / METRICS, line | {"seconds_per_iteration": 4.2, "iteration": 50})
    assert note_on(job) == "candidate 3: 50/50, loss 0.512, 1.2 GB"
    append_json_line(tmp_path / METRICS, {"iteration": 20, "iterations": 50, "validation": 0.75})
    assert note_on(job) == "candidate 3: 20/50, Dice 0.750"
    progress_to(tmp_path, "evaluated", "cpu")(2, 9)
    assert re.fullmatch(r"candidate 3: evaluated 2/9 cases, \d+\.\d GB", note_on(job))
