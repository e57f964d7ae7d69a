"""A worker process as the one who started it sees it; the same for local devices and for a node of a cluster."""

import subprocess
import sys

from c2fnas.execution.call import STOP, Report, read_report
from c2fnas.execution.ending import report_of_death
from c2fnas.execution.retry import Attempt
from c2fnas.execution.worker import end_group, write_job_file
from c2fnas.memory import kernel_kills

SILENTLY = ("-W", "ignore::RuntimeWarning:runpy")
"""Python warns of every module that its package has imported; a worker's last line in the log should be its own."""


class WorkerProcess:
    """A process at work on ``attempt``, from its start to its report.

    Args:
        device: as the worker is to call it.
        environment: the whole environment of the process.
        grace: seconds that the worker has to save and leave when it is asked to stop, or nobody is left to ask.
    """

    def __init__(self, attempt: Attempt, device: str, environment: dict[str, str], grace: float) -> None:
        self.attempt = attempt
        folder = attempt.job.folder
        folder.mkdir(parents=True, exist_ok=True)
        self._stale = read_report(attempt.job)
        self._kernel_kills = kernel_kills()
        job_file = write_job_file(attempt.job, attempt.payload, device, grace)
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
        """Whether the process has ended."""
        return self._process.poll() is not None

    def ask_to_stop(self) -> None:
        """A stop file for loops that look for one, and the end of the pipe for all others."""
        if not self.ended and self._process.stdin is not None:
            (self.attempt.job.folder / STOP).touch()
            self._process.stdin.close()

    def end(self) -> None:
        """End the process, if it hasn't ended, and everything it has started."""
        end_group(self._process.pid)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def report(self) -> Report:
        """What the ended process has reported, or what it died of."""
        report = read_report(self.attempt.job)
        if report is not None and report != self._stale:
            return report
        short_of_memory = kernel_kills() > self._kernel_kills
        return report_of_death(self.attempt.job, self._process.returncode, self.attempt.kills + 1, short_of_memory)
