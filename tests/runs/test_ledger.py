"""The ledger: values that it keeps, refuses and gives back."""

import math
import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.exceptions import StorageInternalError

from c2fnas.errors import UserError
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.trial import Trial
from c2fnas.search.successive_halving import RungResult
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation
from c2fnas.space.topology import Topology

PANC = Architecture(
    Topology((0, 0, 1, 1, 2, 3, 2, 2, 1, 0, 0, 0)), tuple(Operation(o) for o in ("2D", "P3D", "3D", "3D") * 3), 0.25
)
UNIFORM = Architecture.uniform(Topology((1, 2, 3, 3, 3, 3, 3, 3, 3, 2, 1, 0)))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger without trials, copied for every test since its tables take time to make."""
    database = tmp_path_factory.mktemp("empty") / "study.db"
    Ledger(database, "coarse")
    return database


@pytest.fixture
def ledger(tmp_path: Path, empty: Path) -> Ledger:
    shutil.copy(empty, tmp_path / "study.db")
    return Ledger(tmp_path / "study.db", "coarse")


def reopened(ledger: Ledger, *, read_only: bool = False) -> Ledger:
    return Ledger(ledger.database, ledger.stage, read_only=read_only)


def test_a_success_from_start_to_end(ledger: Ledger) -> None:
    number = ledger.start(PANC, {"cluster": 3, "branch": "best", "parameters": 17_600_000, "code": (1, 2)})
    assert number == 0
    assert (ledger.trial(0).state, ledger.trial(0).score, ledger.trial(0).seconds) == ("running", None, None)
    trial = ledger.succeed(number, 0.75, {"seconds": 12.5, "device": "cuda:1"})
    assert (trial.state, trial.score, trial.reason, trial.finished) == ("succeeded", 0.75, None, True)
    assert trial.architecture == PANC
    assert (trial.seconds, trial.device) == (12.5, "cuda:1")
    assert trial.extra["code"] == [1, 2]
    assert trial.ended is not None
    assert trial.ended >= trial.started
    assert reopened(ledger).trials() == ledger.trials() == (trial,)


def test_a_failure_keeps_its_reason(ledger: Ledger) -> None:
    trial = ledger.fail(ledger.start(PANC), "TrainingFailed: the loss is not finite", {"device": "cpu"})
    assert (trial.state, trial.score, trial.reason) == ("failed", None, "TrainingFailed: the loss is not finite")
    assert reopened(ledger).trials() == (trial,)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, -1e-9, 1.0000001, 2.0])
def test_a_score_outside_0_1_fails_the_trial(ledger: Ledger, score: float) -> None:
    trial = ledger.succeed(ledger.start(PANC), score)
    assert (trial.state, trial.score) == ("failed", None)
    assert trial.reason == f"The score {score} is not within [0, 1]."
    assert ledger.best() is None
    assert [t.state for t in ledger.add_scored([(PANC, score, {})])] == ["failed"]
    assert reopened(ledger).trials() == ledger.trials()


@pytest.mark.parametrize("score", [0.0, 1.0, 1])
def test_the_bounds_are_scores(ledger: Ledger, score: float) -> None:
    assert ledger.succeed(ledger.start(PANC), score).score == score


def test_the_best_is_the_highest_and_the_earliest_of_equals(ledger: Ledger) -> None:
    for score in (0.2, 0.9, 0.9, 0.5):
        ledger.succeed(ledger.start(PANC), score)
    ledger.fail(ledger.start(PANC), "crashed")
    best = ledger.best()
    assert best is not None
    assert best.number == 1


def test_what_has_ended_has_ended(ledger: Ledger) -> None:
    number = ledger.start(PANC)
    ledger.succeed(number, 0.5)
    with pytest.raises(ValueError, match="already succeeded"):
        ledger.fail(number, "too late")
    with pytest.raises(ValueError, match="not interrupted"):
        ledger.restart(number)


def test_what_a_dead_driver_left_is_restarted_under_its_number(ledger: Ledger) -> None:
    ledger.succeed(ledger.start(UNIFORM), 0.5)
    left = ledger.start(PANC, {"cluster": 2})
    again = reopened(ledger)
    assert [trial.number for trial in again.interrupted()] == [left]
    restarted = again.restart(left)
    assert (restarted.state, restarted.architecture, restarted.extra) == ("running", PANC, {"cluster": 2})
    assert again.interrupted() == ()
    assert again.succeed(left, 0.6).number == left
    assert again.start(UNIFORM) == 2


def test_an_interrupted_trial_may_end_at_once(ledger: Ledger) -> None:
    left = ledger.start(PANC)
    assert reopened(ledger).fail(left, "no device for it any more").state == "failed"


def test_readers_see_running_trials_and_later_ones_and_write_nothing(ledger: Ledger) -> None:
    number = ledger.start(PANC)
    reader = reopened(ledger, read_only=True)
    assert [trial.state for trial in reader.trials()] == ["running"]
    ledger.succeed(number, 0.5)
    assert [trial.state for trial in reader.trials()] == ["succeeded"]
    with pytest.raises(RuntimeError, match="read"):
        reader.start(PANC)


def test_stages_do_not_mix(ledger: Ledger) -> None:
    ledger.start(PANC)
    scale = Ledger(ledger.database, "scale")
    assert scale.trials() == ()
    assert scale.start(UNIFORM) == 0
    assert len(ledger.trials()) == 1


def test_a_reader_needs_a_ledger(tmp_path: Path, ledger: Ledger) -> None:
    with pytest.raises(UserError, match="no ledger yet"):
        Ledger(tmp_path / "other.db", "coarse", read_only=True)
    assert not (tmp_path / "other.db").exists()
    with pytest.raises(UserError, match="'scale' has not begun"):
        Ledger(ledger.database, "scale", read_only=True)


def test_a_file_that_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(os.urandom(4096))
    with pytest.raises(UserError, match=r"study\.db: cannot be opened as a ledger"):
        Ledger(tmp_path / "study.db", "coarse")


@pytest.mark.parametrize("words", ["database is locked", "database or disk is full", "unable to open database file"])
def test_a_disk_that_does_not_answer_is_no_damage(ledger: Ledger, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The advice to move the file away would cost the search."""

    def failing(*_: object) -> None:
        raise StorageInternalError from sqlalchemy.exc.OperationalError("SELECT", {}, sqlite3.OperationalError(words))

    with monkeypatch.context() as patch:
        patch.setattr(optuna.storages.RDBStorage, "get_study_id_from_name", failing)
        with pytest.raises(UserError, match=rf"study\.db: cannot be opened at the moment \({words}\).* carries on"):
            reopened(ledger)
    assert reopened(ledger).trials() == ()


def test_no_damaged_page_is_a_traceback(tmp_path: Path) -> None:
    """A reader either passes it over, as one of an index, or is told which file is damaged."""
    database, refused = tmp_path / "study.db", 0
    for score in (0.25, 0.5, 0.75):
        ledger = Ledger(database, "coarse")
        ledger.succeed(ledger.start(PANC), score)
    whole, page = database.read_bytes(), 4096
    for place in range(0, len(whole), page):
        database.write_bytes(whole[:place] + b"\xa5" * page + whole[place + page :])
        with suppress(UserError):
            Ledger(database, "coarse", read_only=True).trials()
            refused -= 1
        refused += 1
    assert refused > 2


@pytest.mark.parametrize("key", ["architecture", "after", "order", "reason"])
def test_the_ledgers_own_attributes_are_not_to_be_given(ledger: Ledger, key: str) -> None:
    with pytest.raises(ValueError, match=f"keeps {key} itself"):
        ledger.succeed(ledger.start(PANC), 0.5, {key: 1})


@pytest.mark.parametrize(
    ("stage", "names"), [("coarse", [f"level_{cell:02d}" for cell in range(1, 13)]), ("scale", ["width"])]
)
def test_optuna_sees_what_is_searched(tmp_path: Path, stage: str, names: list[str]) -> None:
    ledger = Ledger(tmp_path / "study.db", stage)
    ledger.succeed(ledger.start(PANC), 0.5)
    ledger.add_scored([(UNIFORM, 0.25, {})])
    study = optuna.load_study(study_name=stage, storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert sorted(study.best_params) == names
    assert study.best_value == 0.5
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE


def test_added_scores_are_trials_like_others(ledger: Ledger) -> None:
    added = ledger.add_scored([(PANC, 0.5, {"seconds": 3.0}), (UNIFORM, 0.7, {})])
    assert [(t.number, t.score, t.order, t.after, t.state) for t in added] == [
        (0, 0.5, 0, 0, "succeeded"),
        (1, 0.7, 1, 1, "succeeded"),
    ]
    assert added[0].seconds == 3.0
    assert reopened(ledger).trials() == ledger.trials() == added


def story(ledger: Ledger) -> list[tuple[str, int]]:
    return [(event, trial.number) for event, trial in ledger.events()]


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_events_tell_what_happened_in_order(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any interleaving of starts and ends, across drivers, is told again exactly."""
    ledger = Ledger(tmp_path_factory.mktemp("run") / "study.db", "coarse")
    happened: list[tuple[str, int]] = []
    running: list[int] = []
    moves = st.tuples(st.booleans(), st.integers(0, 9))
    for _ in range(data.draw(st.integers(1, 12))):
        ends, first = data.draw(moves)
        if running and ends:
            number = running.pop(first % len(running))
            ledger.succeed(number, 0.5) if first % 2 else ledger.fail(number, "crashed")
            happened.append(("end", number))
        else:
            running.append(ledger.start(PANC))
            happened.append(("start", running[-1]))
        if data.draw(st.integers(0, 5)) == 0:
            ledger = reopened(ledger)
    assert story(ledger) == happened
    assert story(reopened(ledger)) == happened
    assert [t.number for t in ledger.completed()] == [number for event, number in happened if event == "end"]


def test_a_full_disk_is_told_and_costs_no_trial(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # Optuna's, between five tries
    number = ledger.start(PANC)
    limit = ["PRAGMA max_page_count = 1"]  # SQLite then allows no page more than there are
    sqlalchemy.event.listen(ledger._storage.engine, "checkout", lambda raw, *_: raw.execute(limit[0]))
    with pytest.raises(UserError, match=r"study\.db: cannot be written \(database or disk is full\)"):
        ledger.add_scored((PANC, 0.5, {"notes": "x" * 1000}) for _ in range(100))
    limit[0] = "PRAGMA max_page_count = 1000000"
    assert ledger.succeed(number, 0.5).score == 0.5
    assert reopened(ledger).trials() == ledger.trials()


def test_trials_are_values(ledger: Ledger) -> None:
    trial = ledger.trial(ledger.start(PANC))
    assert isinstance(trial, Trial)
    with pytest.raises(AttributeError):
        trial.score = 1.0  # type: ignore[misc]


FIRST = RungResult(iteration=100, score=0.4, rank=1, among=1, promoted=True)
LAST = RungResult(iteration=200, score=0.45, rank=3, among=3, promoted=False)


def test_rungs_are_kept_with_the_decision(ledger: Ledger) -> None:
    number = ledger.start(PANC)
    assert ledger.enter_rung(number, FIRST).rungs == (FIRST,)
    assert reopened(ledger).trial(number).rungs == (FIRST,)
    assert reopened(ledger).trial(number).state == "interrupted"
    assert ledger.enter_rung(number, LAST).rungs == (FIRST, LAST)
    stopped = ledger.stop(number, {"seconds": 3.0})
    assert (stopped.state, stopped.score, stopped.evidence, stopped.order) == ("stopped", None, 0.45, 0)
    assert reopened(ledger).trials() == (stopped,)


def test_a_stopped_trial_is_never_the_best(ledger: Ledger) -> None:
    stopped = ledger.start(PANC)
    ledger.enter_rung(stopped, LAST)
    ledger.stop(stopped)
    assert ledger.best() is None
    number = ledger.start(UNIFORM)
    ledger.succeed(number, 0.1)
    best = ledger.best()
    assert best is not None
    assert best.number == number


def test_a_finished_trial_reaches_no_rung(ledger: Ledger) -> None:
    number = ledger.start(PANC)
    ledger.succeed(number, 0.5)
    with pytest.raises(ValueError, match="already succeeded"):
        ledger.enter_rung(number, FIRST)


def test_dashboards_see_what_happened_on_the_way(ledger: Ledger) -> None:
    number = ledger.start(PANC)
    ledger.enter_rung(number, FIRST)
    ledger.enter_rung(number, LAST)
    ledger.stop(number)
    study = optuna.load_study(study_name="coarse", storage=f"sqlite:///{ledger.database}")
    assert study.trials[number].intermediate_values == {100: 0.4, 200: 0.45}
    assert study.trials[number].state == optuna.trial.TrialState.PRUNED


def test_scores_of_before_and_results_of_now_are_entered_in_one_transaction(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that dies while finalists are entered leaves none that is half there."""

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(optuna.storages.RDBStorage, "set_trial_user_attr", dies)
    monkeypatch.setattr(optuna.storages.RDBStorage, "set_trial_state_values", dies)
    ledger.add_scored([(PANC, 0.5, {"candidate": 3})])
    (trial,) = reopened(ledger).trials()
    assert (trial.state, trial.score, trial.extra) == ("succeeded", 0.5, {"candidate": 3})


def test_a_reader_meets_no_ledger_without_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would make them too, and the driver that is about to would fail."""
    database, met = tmp_path / "study.db", list[bool]()
    real = optuna.storages.RDBStorage

    def storage(url: str, **options: Any) -> optuna.storages.RDBStorage:
        new = not [*tmp_path.iterdir()]
        if new:
            met.append(database.exists())
        made = real(url, **options)
        if new:
            met.append(database.exists())
        return made

    monkeypatch.setattr(optuna.storages, "RDBStorage", storage)
    Ledger(database, "coarse")
    assert met == [False, False]
    assert Ledger(database, "coarse", read_only=True).trials() == ()
    assert [path.name for path in tmp_path.iterdir()] == ["study.db"]


@pytest.mark.parametrize("name", ["a?b", "a{b}", "a{0}c", "a{{b", "a%20b", "a#b", "a@b:c", "a;b", "ä é"])
def test_a_folder_of_any_name_has_its_own_ledger(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL of a data base would take some of these for something else."""
    monkeypatch.chdir(tmp_path)
    database = tmp_path / name / "study.db"
    number = Ledger(database, "coarse").start(UNIFORM)
    assert [trial.number for trial in Ledger(database, "coarse", read_only=True).trials()] == [number]
    assert [path.name for path in tmp_path.rglob("*")] == [name, "study.db"]
