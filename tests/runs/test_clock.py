"""The time that counts against a budget survives a driver that is killed, whatever it was at."""

import time
from pathlib import Path

import pytest

from c2fnas.files import read_json
from c2fnas.runs.timing import clock
from c2fnas.runs.timing.clock import ActiveTime


def test_the_time_is_written_down_while_nothing_else_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases are prepared, plans weighed and steps timed without any loop that could do it."""
    monkeypatch.setattr(clock, "KEPT_EVERY", 0.01)
    (tmp_path / "fingerprint.json").touch()
    spent = ActiveTime(tmp_path / "spent.json", lambda: 7.0)
    with spent.running():
        end = time.monotonic() + 30
        while not (tmp_path / "spent.json").exists() and time.monotonic() < end:
            time.sleep(0.01)
        assert read_json(tmp_path / "spent.json") == {"seconds": 0.0}


def test_a_mistake_leaves_nothing_behind(tmp_path: Path) -> None:
    with ActiveTime(tmp_path / "spent.json", lambda: 7.0).running():
        pass
    assert [*tmp_path.iterdir()] == []
