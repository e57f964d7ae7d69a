"""An early end of the coarse stage saves no more seconds than its part of the budget has left."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from coarse_run import prepared_run

from c2fnas.planning import schedule
from c2fnas.runs.timing.schedule_row import ScheduleRow
from c2fnas.runs.timing.slots import Slots
from c2fnas.runs.timing.timings import Timings


@pytest.mark.parametrize(
    ("at_a_time", "spent", "expected"),
    [(2, 110.0, 90.0), (4, 110.0, 90.0), (8, 110.0, 50.0), (8, 170.0, 30.0), (8, 250.0, 0.0)],
)
def test_saved_seconds(
    at_a_time: int, spent: float, expected: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten trainings of 40 s are left; the stage began at 100 s and was given 100."""
    monkeypatch.setattr(schedule, "estimate", lambda *_: {"coarse": 100.0})
    monkeypatch.setattr(schedule, "count_work", lambda *_: None)
    monkeypatch.setattr(schedule, "preparation_of", lambda *_: None)
    rows = tmp_path / "schedule.jsonl"
    ScheduleRow("coarse", 100.0, 500.0, timings=Timings(patch=1.0, window=1.0)).append(rows)
    run: Any = SimpleNamespace(
        folder=SimpleNamespace(schedule=rows), slots=Slots(at_a_time), config=None, time=SimpleNamespace(seconds=spent)
    )
    assert schedule.saved_by_an_early_end(run, 10, 40.0) == pytest.approx(expected)
    rows.unlink()
    assert schedule.saved_by_an_early_end(run, 10, 40.0) == 400 / at_a_time


def test_under_torchrun_folds_are_trained_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever GPUs the machine has beside those of its processes."""
    run = prepared_run(tmp_path)
    assert schedule.preparation_of(run, 1.0).at_a_time is None
    monkeypatch.setattr(schedule, "ranks", lambda: (0, 2))
    assert schedule.preparation_of(run, 1.0).at_a_time == 1
