"""Processes on this machine: one per device, and every candidate in its own."""

import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from c2fnas.execution.attempt import Attempt
from c2fnas.execution.call import STOP, Report, finished, read_report
from c2fnas.execution.ending import report_of_death
from c2fnas.execution.environment import inner_device, worker_environment
from c2fnas.execution.job import Job, Outcome
from c2fnas.execution.memory import kernel_kills
from c2fnas.execution.worker import end_group, write_job_file

_POLL = 0.05  # seconds


@dataclass(frozen=True)
class _Worker:
    """A process at work on an attempt."""

    attempt: Attempt
    device: str
    process: "subprocess.Popen[bytes]"
    submitted: float
    kernel_kills: int
    stale: Report | None  # what an earlier attempt has left in the folder


class LocalProcessExecutor:
    """One worker process per device; a crash, a lack of memory or a segmentation fault costs one candidate.

    Args:
        devices: such as ``["cuda:0", "cuda:1"]``, ``["cpu"]``, or ``["cpu:0", "cpu:1"]`` for two candidates that share
            the cores.
        retries: how often a killed worker is started again, to resume from its own checkpoint.
        grace: seconds that running jobs have to save and leave when the executor is closed or its process dies.
    """

    def __init__(self, devices: Sequence[str] = ("cpu",), *, retries: int = 1, grace: float = 30.0) -> None:
        if not devices or len(set(devices)) != len(devices):
            raise ValueError(f"devices must be named, each once, not {list(devices)}")
        self.devices, self.retries, self.grace = tuple(devices), retries, grace
        self._workers: list[_Worker] = []
        self._ready: deque[tuple[Job, Report]] = deque()
        self._closed = False

    @property
    def idle(self) -> int:
        """How many devices have nothing to do."""
        return 0 if self._closed else len(self.devices) - len(self._workers)

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs submitted and not yet returned."""
        return tuple(job for job, _ in self._ready) + tuple(worker.attempt.job for worker in self._workers)

    def submit(self, job: Job) -> None:
        """Start a process for ``job`` on a free device. Raises RuntimeError where nothing is idle."""
        if not self.idle:
            raise RuntimeError(
                "the executor is closed" if self._closed else "nothing is idle: wait for an outcome first"
            )
        if report := finished(job):
            self._ready.append((job, report))
            return
        taken = {worker.device for worker in self._workers}
        device = next(device for device in self.devices if device not in taken)
        self._workers.append(self._start(Attempt(job), device, time.monotonic()))

    def wait(self, timeout: float | None = None) -> Outcome | None:
        """The next outcome. Raises as :meth:`Executor.wait` does."""
        if not self.running:
            raise RuntimeError("nothing runs")
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._ready:
                job, report = self._ready.popleft()
                return report.outcome(job, self.devices[0])
            for worker in self._workers:
                if worker.process.poll() is not None and (outcome := self._ended(worker)):
                    return outcome
            if end is not None and time.monotonic() >= end:
                return None
            time.sleep(_POLL)

    def close(self) -> None:
        """Ask running jobs to save and leave; end after the grace period, or at once on Ctrl-C, those that haven't."""
        self._closed = True
        try:
            for worker in self._workers:
                _ask_to_stop(worker)
            end = time.monotonic() + self.grace
            while time.monotonic() < end and any(worker.process.poll() is None for worker in self._workers):
                time.sleep(_POLL)
        finally:
            for worker in self._workers:
                _end(worker)
            self._workers.clear()
            self._ready.clear()

    def _ended(self, worker: _Worker) -> Outcome | None:
        """The outcome of a process that has ended; None where the job is tried again, on the same device."""
        self._workers.remove(worker)
        _end(worker)
        attempt, job = worker.attempt, worker.attempt.job
        report = read_report(job)
        if report is None or report == worker.stale:
            short = kernel_kills() > worker.kernel_kills
            report = report_of_death(job, worker.process.returncode, attempt.kills + 1, short)
        following = attempt.following(report.kind, self.retries)
        if following is not None:
            self._workers.append(self._start(following, worker.device, worker.submitted))
            return None
        return report.outcome(job, worker.device, time.monotonic() - worker.submitted)

    def _start(self, attempt: Attempt, device: str, submitted: float) -> _Worker:
        job = attempt.job
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / STOP).unlink(missing_ok=True)
        stale = read_report(job)
        job_file = write_job_file(job, attempt.payload, inner_device(device), self.grace)
        with (job.folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "c2fnas.execution.worker", str(job_file.resolve())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=worker_environment(device, self.devices),
                start_new_session=True,
            )
        return _Worker(attempt, device, process, submitted, kernel_kills(), stale)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _ask_to_stop(worker: _Worker) -> None:
    """A stop file for loops that look for one, and the end of the pipe for all others."""
    if worker.process.poll() is None and worker.process.stdin is not None:
        (worker.attempt.job.folder / STOP).touch()
        worker.process.stdin.close()


def _end(worker: _Worker) -> None:
    """End the process and everything it has started, and let go of it."""
    end_group(worker.process.pid)
    worker.process.wait()
    if worker.process.stdin is not None:
        worker.process.stdin.close()
