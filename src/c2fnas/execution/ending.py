"""What a worker that left no report died of."""

import signal
from pathlib import Path

from c2fnas.execution.call import Report
from c2fnas.execution.job import Job
from c2fnas.execution.worker import CANNOT_WRITE

_TAIL = 300  # characters of the log


def report_of_death(job: Job, code: int, deaths: int, kernel_short_of_memory: bool) -> Report:
    """The report that a worker would have written, from its exit ``code`` (negative: the signal that ended it)."""
    log = job.folder / "worker.log"
    if code == -signal.SIGKILL and kernel_short_of_memory:
        return Report("out_of_memory", None, f"The system ended the worker for lack of memory (see {log}).", 0.0)
    if code == CANNOT_WRITE:
        return Report(
            "user_error", None, f"{job.folder}: the worker could not write its result. {_last_line(log)}", 0.0
        )
    times = "" if deaths == 1 else f" {deaths} times, at last"
    return Report("killed", None, f"The worker was ended{times} by {_cause(code)}: {_last_line(log)} (see {log}).", 0.0)


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][-_TAIL:] if lines else "nothing was logged"
