"""The time that counts against a budget survives a driver that is killed, whatever it was at."""

import time
from pathlib import Path

import pytest

from c2fnas.errors import UserError
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
        assert read_json(tmp_path / "spent.json") == {"seconds": 0.0, "preparation": 0.0}


def test_preparation_is_the_part_of_it_in_which_it_was_done(tmp_path: Path) -> None:
    (tmp_path / "fingerprint.json").touch()
    now = [0.0]
    for _ in range(2):  # two sessions, each with 3 s of preparation, in one of which 1 s is prepared within
        spent = ActiveTime(tmp_path / "spent.json", lambda: now[0])
        with spent.running():
            now[0] += 5
            with spent.preparing():
                now[0] += 2
                with spent.preparing():
                    now[0] += 1
            now[0] += 4
    assert (ActiveTime(tmp_path / "spent.json").seconds, spent.preparation) == (24, 6)


@pytest.mark.parametrize("error", [UserError("the checkpoint is intact"), KeyboardInterrupt()])
def test_a_full_disk_does_not_hide_what_has_stopped_the_work(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fingerprint.json").touch()
    spent = ActiveTime(tmp_path / "spent.json", lambda: 7.0)

    def full(*_: object) -> None:
        raise UserError("spent.json: cannot be written (No space left on device).")

    with monkeypatch.context() as patch:
        patch.setattr(clock, "write_json", full)
        with pytest.raises(type(error)) as raised, spent.running():
            raise error
        assert raised.value is error
        with pytest.raises(UserError, match="No space left"), spent.running():
            pass
    with spent.running():  # counts again
        pass
    assert read_json(tmp_path / "spent.json")["seconds"] == 0


def test_a_mistake_leaves_nothing_behind(tmp_path: Path) -> None:
    with ActiveTime(tmp_path / "spent.json", lambda: 7.0).running():
        pass
    assert [*tmp_path.iterdir()] == []


def test_a_study_that_is_asked_for_costs_the_budget_nothing(tmp_path: Path) -> None:
    (tmp_path / "fingerprint.json").touch()
    now = [0.0]
    spent = ActiveTime(tmp_path / "spent.json", lambda: now[0])
    with spent.running():
        now[0] += 5
        with spent.stopped():
            now[0] += 100
            assert spent.seconds == 5
            with spent.stopped():
                now[0] += 1
        now[0] += 2
        assert spent.seconds == 7
    assert ActiveTime(tmp_path / "spent.json").seconds == 7
    with spent.stopped():  # of a run that is not at work there is nothing to stop
        now[0] += 3
    assert spent.seconds == 7
