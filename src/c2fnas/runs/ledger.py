"""Every candidate of a run: an Optuna study per stage on SQLite, written by the driver alone."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState as State
from sqlalchemy.exc import SQLAlchemyError

from c2fnas.errors import UserError
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.trial import Trial
from c2fnas.runs.trial_record import checked, new_record, result_attributes, trial_of
from c2fnas.search.early_stopping import Standing
from c2fnas.space.architecture import Architecture

Event = tuple[Literal["start", "end"], Trial]


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
        self._study = self._open()
        self._trials = {trial.number: trial for trial in self._read()}
        if not read_only:
            self._mark_interrupted()

    def trials(self) -> tuple[Trial, ...]:
        """All trials in order of start. A reader sees the state of the moment."""
        if self._read_only:
            self._trials = {trial.number: trial for trial in self._read()}
        return tuple(self._trials[number] for number in sorted(self._trials))

    def trial(self, number: int) -> Trial:
        """The trial of that number."""
        return self._trials[number]

    def completed(self) -> tuple[Trial, ...]:
        """The finished trials, failures among them, in order of completion."""
        return tuple(sorted((t for t in self.trials() if t.finished), key=lambda trial: trial.order or 0))

    def interrupted(self) -> tuple[Trial, ...]:
        """The trials that a dead driver has left running, to be restarted before anything new is proposed."""
        return tuple(trial for trial in self.trials() if trial.state == "interrupted")

    def best(self) -> Trial | None:
        """The success with the highest score, the earliest among equals; None where there is none.

        A score on more ``cases``, where the stage says how many, goes before one on fewer.
        """
        successes = [trial for trial in self.trials() if trial.score is not None]
        return max(successes, key=lambda t: (t.extra.get("cases", 0), t.score, -t.number), default=None)

    def events(self) -> Iterator[Event]:
        """What happened, in order: told to a searcher again, it brings it back to where it was."""
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
        record = new_record(architecture, self.stage, after=self._finished(), extra=extra or {})
        return self._add(record)

    def restart(self, number: int) -> Trial:
        """Take up an interrupted trial under its number."""
        if self._trials[number].state != "interrupted":
            raise ValueError(f"trial {number} is {self._trials[number].state}, not interrupted")
        self._trials[number] = replace(self._trials[number], state="running")
        return self._trials[number]

    def succeed(self, number: int, score: float, extra: Mapping[str, Any] | None = None) -> Trial:
        """Enter a score. One that is not in [0, 1], not-a-number among them, is refused: the trial fails by it."""
        if not (math.isfinite(score) and 0.0 <= score <= 1.0):
            return self.fail(number, f"The score {score} is not within [0, 1].", extra)
        return self._end(number, State.COMPLETE, float(score), None, extra or {})

    def fail(self, number: int, reason: str, extra: Mapping[str, Any] | None = None) -> Trial:
        """Enter a failure."""
        return self._end(number, State.FAIL, None, reason, extra or {})

    def reach(self, number: int, standing: Standing, extra: Mapping[str, Any] | None = None) -> Trial:
        """Enter where a running candidate stands at its next rung; the decision is written down, never made again."""
        trial = self._trials[number]
        if trial.finished:
            raise ValueError(f"trial {number} has already {trial.state}")
        identity, rungs, kept = self._identity(number), (*trial.rungs, standing), checked(extra or {})
        with self._writing():
            self._storage.set_trial_intermediate_value(identity, standing.iteration, standing.score)
            for key, value in kept.items():
                self._storage.set_trial_user_attr(identity, key, value)
            # Last, so that a driver that dies here finds the rung not reached, and enters it again.
            self._storage.set_trial_user_attr(identity, "rungs", [asdict(each) for each in rungs])
        self._trials[number] = replace(trial, rungs=rungs, extra={**trial.extra, **kept})
        return self._trials[number]

    def stop(self, number: int, extra: Mapping[str, Any] | None = None) -> Trial:
        """Enter that a candidate was not let on at its last rung. It has no score: Dice in mid-training is none."""
        return self._end(number, State.PRUNED, None, None, extra or {})

    def add_scored(self, scored: Iterable[tuple[Architecture, float, Mapping[str, Any]]]) -> tuple[Trial, ...]:
        """Enter candidates that were scored elsewhere, such as ranked paths; a bad score is entered as a failure.

        ``reason`` among what is kept with such a one says why.
        """
        numbers = []
        for architecture, score, extra in scored:
            valid = math.isfinite(score) and 0.0 <= score <= 1.0
            finished = self._finished()
            reason = {} if valid else {"reason": f"The score {score} is not within [0, 1]."}
            result = {"order": finished, **reason, **extra}
            numbers.append(
                self._add(
                    new_record(
                        architecture,
                        self.stage,
                        after=finished,
                        extra=result,
                        score=score if valid else None,
                        state=State.COMPLETE if valid else State.FAIL,
                    )
                )
            )
        return tuple(self._trials[number] for number in numbers)

    def _open(self) -> optuna.Study:
        url = f"sqlite:///{self.database}"
        if self._read_only and not self.database.exists():
            raise UserError(f"{self.database}: there is no ledger yet. Start a search on this run folder first.")
        try:
            self.database.parent.mkdir(parents=True, exist_ok=True)
            self._storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
            if self._read_only:
                return optuna.load_study(study_name=self.stage, storage=self._storage)
            return optuna.create_study(
                study_name=self.stage, storage=self._storage, direction="maximize", load_if_exists=True
            )
        except KeyError:
            raise UserError(f"{self.database}: the stage {self.stage!r} has not begun on this run folder.") from None
        except Exception as error:
            raise UserError(
                f"{self.database}: cannot be opened as a ledger ({error}). Restore the file from a copy, "
                "or move it away to begin anew."
            ) from error

    def _read(self) -> tuple[Trial, ...]:
        return tuple(trial_of(record) for record in self._study.get_trials(deepcopy=False))

    def _mark_interrupted(self) -> None:
        for number, trial in self._trials.items():
            if trial.state == "running":
                self._trials[number] = replace(trial, state="interrupted")

    def _finished(self) -> int:
        return sum(trial.finished for trial in self._trials.values())

    def _add(self, record: optuna.trial.FrozenTrial) -> int:
        with self._writing():
            identity = self._storage.create_new_trial(self._study._study_id, template_trial=record)
        record.number = len(self._trials)
        if self._identity(record.number) != identity:
            raise RuntimeError(f"{self.database}: another process has written to this ledger")
        self._trials[record.number] = trial_of(record)
        return record.number

    def _end(
        self, number: int, state: State, score: float | None, reason: str | None, extra: Mapping[str, Any]
    ) -> Trial:
        if self._trials[number].finished:
            raise ValueError(f"trial {number} has already {self._trials[number].state}")
        identity = self._identity(number)
        attributes = result_attributes(self._finished(), reason, extra)
        with self._writing():
            for key, value in attributes.items():
                self._storage.set_trial_user_attr(identity, key, value)
            # Last, so that a trial whose driver dies here is still running, and is ended again.
            self._storage.set_trial_state_values(identity, state, None if score is None else (score,))
        self._trials[number] = trial_of(self._storage.get_trial(identity))
        return self._trials[number]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._refuse_readers()
        try:
            yield
        except (StorageInternalError, SQLAlchemyError) as error:
            cause = getattr(error.__cause__ or error, "orig", error)
            raise UserError(
                f"{self.database}: cannot be written ({cause}). Free some space on its disk and give the same command "
                "again; what was entered before is intact."
            ) from error

    def _identity(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)

    def _refuse_readers(self) -> None:
        if self._read_only:
            raise RuntimeError("this ledger was opened to be read")


def trials_of(folder: RunFolder, stage: str) -> tuple[Trial, ...]:
    """The ledger's trials of a stage; none where it has not begun."""
    if not folder.study.exists():
        return ()
    try:
        return Ledger(folder.study, stage, read_only=True).trials()
    except UserError as error:
        if "has not begun" in str(error):
            return ()
        raise
