"""Every trained candidate of a run: an Optuna study per stage on SQLite, written by the driver alone."""

import math
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import StorageInternalError
from optuna.study import StudyDirection
from optuna.trial import TrialState as State
from sqlalchemy.exc import SQLAlchemyError

from c2fnas.errors import UserError, in_a_line, refuse_exhaustion
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.trial import Trial
from c2fnas.runs.trial_record import checked, new_record, trial_of
from c2fnas.search.successive_halving import RungResult
from c2fnas.space.architecture import Architecture

Event = tuple[Literal["start", "end"], Trial]

PASSING = re.compile(
    "database is locked|database or disk is full|unable to open database file|disk I/O error|readonly database"
)
"""Words of SQLite on a disk that does not answer as it should, and not on a file that is damaged."""


class StageNotBegun(UserError):
    """A reader asks for the trials of a stage that has none yet."""


class Ledger:
    """The trials of one stage. Opened again, it resumes: what ran under a driver that is gone is ``interrupted``.

    One driver writes at a time (see :class:`c2fnas.runs.lock.RunLock`); readers pass ``read_only=True``.
    ``optuna-dashboard sqlite:///RUN/study.db`` shows it.
    """

    def __init__(self, database: Path, stage: str, *, read_only: bool = False) -> None:
        """Open the study ``stage`` of ``database``; a driver creates what is missing.

        Raises:
            UserError: the file is no ledger, or a reader asks for a study that isn't there.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.database, self.stage = Path(database), stage
        self._read_only = read_only
        self._storage, self._study = self._open()
        self._trials = self._read()
        if not read_only:
            for number, trial in self._trials.items():
                if trial.state == "running":
                    self._trials[number] = replace(trial, state="interrupted")

    def trials(self) -> tuple[Trial, ...]:
        """Return all trials in order of start. A reader sees the state of the moment."""
        if self._read_only:
            self._trials = self._read()
        return tuple(self._trials[number] for number in sorted(self._trials))

    def trial(self, number: int) -> Trial:
        """Return the trial of that number."""
        return self._trials[number]

    def completed(self) -> tuple[Trial, ...]:
        """Return the finished trials, failures included, in order of completion."""
        return tuple(sorted((t for t in self.trials() if t.finished), key=lambda trial: trial.order or 0))

    def interrupted(self) -> tuple[Trial, ...]:
        """Return the trials that a dead driver has left running, to be restarted before anything new is proposed."""
        return tuple(trial for trial in self.trials() if trial.state == "interrupted")

    def best(self) -> Trial | None:
        """Return the success with the highest score, the earliest among equals; None without a success."""
        successes = [trial for trial in self.trials() if trial.score is not None]
        return max(successes, key=lambda trial: (trial.score, -trial.number), default=None)

    def events(self) -> Iterator[Event]:
        """Yield starts and ends in order. A searcher that replays them is in the state it had."""
        endings = self.completed()
        told = 0
        for trial in self.trials():
            while told < trial.after:
                yield "end", endings[told]
                told += 1
            yield "start", trial
        yield from (("end", trial) for trial in endings[told:])

    def start(self, architecture: Architecture, extra: Mapping[str, Any] | None = None) -> int:
        """Enter a candidate as running and return its number; written before its training begins."""
        return self._add(new_record(architecture, self.stage, after=self._finished(), extra=extra or {}))

    def restart(self, number: int) -> Trial:
        """Resume an interrupted trial under its number."""
        if self._trials[number].state != "interrupted":
            raise ValueError(f"trial {number} is {self._trials[number].state}, not interrupted")
        self._trials[number] = replace(self._trials[number], state="running")
        return self._trials[number]

    def succeed(self, number: int, score: float, extra: Mapping[str, Any] | None = None) -> Trial:
        """Enter a score. The trial fails if it is not in [0, 1] or not a number."""
        if not _is_score(score):
            return self.fail(number, f"The score {score} is not within [0, 1].", extra)
        return self._end(number, State.COMPLETE, extra, score=float(score))

    def fail(self, number: int, reason: str, extra: Mapping[str, Any] | None = None) -> Trial:
        """Enter a failure."""
        return self._end(number, State.FAIL, extra, reason=reason)

    def enter_rung(self, number: int, result: RungResult, extra: Mapping[str, Any] | None = None) -> Trial:
        """Enter a running candidate's result at its next rung. The decision is kept and never made again."""
        trial = self._unfinished(number)
        identity, rungs, kept = self._identity(number), (*trial.rungs, result), checked(extra or {})
        with self._writing():
            self._storage.set_trial_intermediate_value(identity, result.iteration, result.score)
            # "rungs" last, so that a driver that dies here finds the rung not reached, and enters it again.
            for key, value in {**kept, "rungs": [asdict(each) for each in rungs]}.items():
                self._storage.set_trial_user_attr(identity, key, value)
        self._trials[number] = replace(trial, rungs=rungs, extra={**trial.extra, **kept})
        return self._trials[number]

    def stop(self, number: int, extra: Mapping[str, Any] | None = None) -> Trial:
        """Enter that a candidate was not promoted at its last rung. Its Dice in mid-training is not a score."""
        return self._end(number, State.PRUNED, extra)

    def add_scored(self, scored: Iterable[tuple[Architecture, float, Mapping[str, Any]]]) -> tuple[Trial, ...]:
        """Enter candidates that were scored before, such as finalists; a bad score is entered as a failure."""
        return tuple(self._trials[self._add_scored(*each)] for each in scored)

    def _open(self) -> tuple[optuna.storages.RDBStorage, int]:
        """The storage and the number of the study in it."""
        if self._read_only and not self.database.exists():
            raise UserError(f"{self.database}: there is no ledger yet. Start a search on this run folder first.")
        try:
            if not self.database.exists():
                _create(self.database)
            storage = _storage(self.database)
            return storage, self._study_in(storage)
        except KeyError:
            missing = f"{self.database}: the stage {self.stage!r} has not begun on this run folder."
            raise StageNotBegun(missing) from None
        except Exception as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> UserError:
        """The error of a file that is damaged or, where that says so, of a disk that does not answer as it should."""
        refuse_exhaustion(self.database, error)
        if passing := next(filter(None, map(PASSING.search, _messages(error))), None):
            return UserError(
                f"{self.database}: cannot be opened at the moment ({passing[0]}). See that its disk has space and may "
                "be written, and that no other program holds the file; then give the same command again, which carries "
                "on."
            )
        return UserError(
            f"{self.database}: cannot be opened as a ledger ({in_a_line(error)}). Restore the file from a copy, or "
            "move it away to begin again."
        )

    def _study_in(self, storage: optuna.storages.RDBStorage) -> int:
        try:
            return storage.get_study_id_from_name(self.stage)
        except KeyError:
            if self._read_only:
                raise
            return storage.create_new_study([StudyDirection.MAXIMIZE], self.stage)

    def _read(self) -> dict[int, Trial]:
        try:
            records = self._storage.get_all_trials(self._study, deepcopy=False)
            return {record.number: trial_of(record) for record in records}
        except (StorageInternalError, SQLAlchemyError, KeyError, TypeError, ValueError) as error:
            raise self._unreadable(error) from error

    def _add_scored(self, architecture: Architecture, score: float, extra: Mapping[str, Any]) -> int:
        if not _is_score(score):
            return self.succeed(self.start(architecture, extra), score).number
        return self._add(new_record(architecture, self.stage, after=self._finished(), extra=extra, score=score))

    def _add(self, record: optuna.trial.FrozenTrial) -> int:
        with self._writing():
            identity = self._storage.create_new_trial(self._study, template_trial=record)
        record.number = len(self._trials)
        if self._identity(record.number) != identity:
            raise RuntimeError(f"{self.database}: another process has written to this ledger")
        self._trials[record.number] = trial_of(record)
        return record.number

    def _finished(self) -> int:
        return sum(trial.finished for trial in self._trials.values())

    def _unfinished(self, number: int) -> Trial:
        trial = self._trials[number]
        if trial.finished:
            raise ValueError(f"trial {number} has already {trial.state}")
        return trial

    def _end(
        self,
        number: int,
        state: State,
        extra: Mapping[str, Any] | None,
        *,
        score: float | None = None,
        reason: str | None = None,
    ) -> Trial:
        self._unfinished(number)
        own = {"order": self._finished()} | ({"reason": reason} if reason else {})
        identity, attributes = self._identity(number), {**own, **checked(extra or {})}
        with self._writing():
            for key, value in attributes.items():
                self._storage.set_trial_user_attr(identity, key, value)
            # Last, so that a trial whose driver dies here is still running, and is ended again.
            self._storage.set_trial_state_values(identity, state, None if score is None else (score,))
        self._trials[number] = trial_of(self._storage.get_trial(identity))
        return self._trials[number]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if self._read_only:
            raise RuntimeError("this ledger was opened to be read")
        try:
            yield
        except (StorageInternalError, SQLAlchemyError) as error:
            cause = getattr(error.__cause__ or error, "orig", error)
            raise UserError(
                f"{self.database}: cannot be written ({cause}). Free some space on its disk and give the same command "
                "again; what was entered before is intact."
            ) from error

    def _identity(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study, number)


def _messages(error: BaseException | None) -> Iterator[str]:
    """Yield the message of an error and of what it came from."""
    while error is not None:
        yield str(error)
        error = error.__cause__


def trials_of(folder: RunFolder, stage: str) -> tuple[Trial, ...]:
    """Return the ledger's trials of a stage; none if it has not begun."""
    if not folder.study.exists():
        return ()
    try:
        return Ledger(folder.study, stage, read_only=True).trials()
    except StageNotBegun:
        return ()


def _create(database: Path) -> None:
    """Make an empty ledger under another name first: a reader that met one without its tables would make them too."""
    database.parent.mkdir(parents=True, exist_ok=True)
    unfinished = database.with_name(f".{database.name}.new")
    unfinished.unlink(missing_ok=True)
    storage = _storage(unfinished)
    storage.remove_session()
    storage.engine.dispose()
    unfinished.replace(database)


def _storage(database: Path) -> optuna.storages.RDBStorage:
    def connect() -> sqlite3.Connection:  # in a URL, a path with `?`, `%` or a brace would be another one
        return sqlite3.connect(database, timeout=60, check_same_thread=False)

    return optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})


def _is_score(score: float) -> bool:
    return math.isfinite(score) and 0.0 <= score <= 1.0
