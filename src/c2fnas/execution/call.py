"""Calls of jobs' targets: however a call ends, a report of it is in the job's folder."""

import importlib
import json
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from c2fnas.devices import hardware_name
from c2fnas.errors import Interrupted, UserError, exhaustion, refuse_exhaustion
from c2fnas.execution.job import Job, Kind, Outcome
from c2fnas.files import STOP, write_text
from c2fnas.memory import is_out_of_memory

RESULT = "result.json"
TRACEBACK = "traceback.txt"

Target = Callable[[dict[str, Any], Path, str], dict[str, Any]]


@dataclass(frozen=True)
class Report:
    """The end of one try, as written to ``result.json``.

    ``processes`` is how many did it together, each on a device of its own; ``seconds`` are by the clock; ``hardware``
    names the processor or GPU.
    """

    kind: Kind | Literal["interrupted", "user_error"]
    value: dict[str, Any] | None
    failure: str | None
    seconds: float
    processes: int = 1
    hardware: str = ""

    def outcome(self, job: Job, device: str, seconds: float | None = None) -> Outcome:
        """Return the outcome of ``job``.

        Raises:
            Interrupted: the job was stopped on request.
            UserError: the user has something to put right.
        """
        if self.kind == "interrupted":
            raise Interrupted(f"{job.folder}: {self.failure}")
        if self.kind == "user_error":
            raise UserError(self.failure)
        return Outcome(
            job.id, self.value, self.failure, self.kind, self.seconds if seconds is None else seconds, device
        )


def make_call(job: Job, payload: dict[str, Any], device: str, processes: int = 1) -> Report:
    """Call the target and report; the report is written to the job's folder before it is returned.

    ``payload`` is the job's own but for what a retry adds to it. The caller knows of how many ``processes`` this is the
    one that reports. KeyboardInterrupt passes.
    """
    start = time.monotonic()
    job.folder.mkdir(parents=True, exist_ok=True)
    try:
        value = _resolve(job.target)(_through_json(payload), job.folder, device)
        report = Report("done", _through_json(value), None, time.monotonic() - start)
    except (Exception, SystemExit) as error:
        report = _report_of(error, job, time.monotonic() - start)
    report = replace(report, processes=processes, hardware=hardware_name(device))
    write_report(job, report)
    return report


def clear_stop(job: Job) -> None:
    """Remove an old request to stop; done when a job is submitted, since a request that comes later is meant."""
    (job.folder / STOP).unlink(missing_ok=True)


def write_report(job: Job, report: Report) -> None:
    """Write ``result.json``; not-a-number passes, since its meaning is the caller's affair."""
    write_text(job.folder / RESULT, json.dumps({"job": job.digest(), **asdict(report)}, indent=2) + "\n")


def read_report(job: Job) -> Report | None:
    """Return the report that this very ``job`` has left in its folder; None if there is none that can be read."""
    try:
        return _report_in(job)
    except OSError:
        return None


def finished(job: Job) -> Report | None:
    """Return the report of a ``job`` that is done already, by an earlier driver for example; else None.

    Raises:
        UserError: there is one, which can't be read at the moment: what is done would be done again.
    """
    try:
        report = _report_in(job)
    except OSError as error:
        place = job.folder / RESULT
        refuse_exhaustion(place, error)
        raise UserError(f"{place}: cannot be read ({error.strerror}). Give the same command again.") from error
    return report if report is not None and report.kind == "done" else None


def _report_in(job: Job) -> Report | None:
    """The report of this very job; None if there is none, or it is damaged."""
    try:
        found = json.loads((job.folder / RESULT).read_text(encoding="utf-8"))
        return Report(**found) if found.pop("job") == job.digest() else None
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError, AttributeError):
        return None


def echo(payload: dict[str, Any], folder: Path, device: str) -> dict[str, Any]:
    """Return the payload: the simplest target."""
    return payload


def _resolve(target: str) -> Target:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _through_json(value: dict[str, Any]) -> dict[str, Any]:
    """Return ``value`` as another process would see it, so that in-process runs differ in nothing."""
    if not isinstance(value, dict):
        raise TypeError(f"a target takes and returns a dict, not {type(value).__name__}")
    return json.loads(json.dumps(value))


def _report_of(error: BaseException, job: Job, seconds: float) -> Report:
    if isinstance(error, Interrupted):
        return Report("interrupted", None, str(error) or "stopped on request", seconds)
    if isinstance(error, UserError) and not is_out_of_memory(error):
        return Report("user_error", None, str(error), seconds)
    lack = exhaustion(error)
    if lack and not is_out_of_memory(error):  # of threads or files: no fault of this job, and the next would fail too
        return Report("user_error", None, f"{job.id}: {lack}", seconds)
    path = job.folder / TRACEBACK
    write_text(path, "".join(traceback.format_exception(error)))
    kind: Kind = "out_of_memory" if is_out_of_memory(error) else "failed"
    message = " ".join(str(error).split()) or "no message"
    return Report(kind, None, f"{type(error).__name__}: {message} (see {path})", seconds)
