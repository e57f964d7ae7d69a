"""A worker process, seen from the process that started it: a local executor, or the task on a node of a cluster."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from c2fnas.execution.call import Report, read_report
from c2fnas.execution.job import Job
from c2fnas.execution.retry import Try
from c2fnas.execution.worker import CANNOT_WRITE, end_group, write_job_file
from c2fnas.files import STOP
from c2fnas.memory import kernel_kills

SILENTLY = ("-W", "ignore::RuntimeWarning:runpy")
"""Python warns of every module that its package has imported; a worker's last line in the log should be its own."""
_TAIL = 300  # characters of the log


class WorkerProcess:
    """A process at work on one try, from its start to its report.

    Args:
        device: as the worker is to call it.
        environment: the whole environment of the process.
        grace: seconds that the worker has to save and leave when it is asked to stop, or nobody is left to ask.
    """

    def __init__(self, current: Try, device: str, environment: dict[str, str], grace: float) -> None:
        self.current = current
        folder = current.job.folder
        folder.mkdir(parents=True, exist_ok=True)
        self._stale = read_report(current.job)
        self._kernel_kills = kernel_kills()
        job_file = write_job_file(current.job, current.payload, device, grace)
        with (folder / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *SILENTLY, "-P", "-m", "c2fnas.execution.worker", str(job_file.resolve())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        """True if the process has ended."""
        return self._process.poll() is not None

    def ask_to_stop(self) -> None:
        """Leave a stop file for loops that look for one, and end the pipe for all others."""
        if not self.ended and self._process.stdin is not None:
            with suppress(OSError):  # a full disk: its input ends all the same
                (self.current.job.folder / STOP).touch()
            self._process.stdin.close()

    def end(self) -> None:
        """End the process, if it hasn't ended, and everything it has started."""
        end_group(self._process.pid)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def report(self) -> Report:
        """Return the report of the ended process, or one on the cause of its death."""
        report = read_report(self.current.job)
        if report is not None and (report.kind == "done" or report != self._stale):
            return report
        short_of_memory = kernel_kills() > self._kernel_kills
        return report_of_death(self.current.job, self._process.returncode, self.current.kills + 1, short_of_memory)


def report_of_death(job: Job, code: int, deaths: int, kernel_short_of_memory: bool) -> Report:
    """Return the report of a silent worker from its exit ``code`` (negative: the signal that ended it)."""
    log = job.folder / "worker.log"
    if code == -signal.SIGKILL and kernel_short_of_memory:
        return Report("out_of_memory", None, f"The system ended the worker for lack of memory (see {log}).", 0.0)
    if code == CANNOT_WRITE:
        return Report(
            "user_error", None, f"{job.folder}: the worker could not read or write its result. {_last_line(log)}", 0.0
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
