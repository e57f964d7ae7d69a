"""Processes on this machine: one per device, and every candidate in its own."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from c2fnas.devices import refuse_absent
from c2fnas.execution.call import Report, clear_stop, finished
from c2fnas.execution.environment import inner_device, worker_environment
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.execution.process import WorkerProcess
from c2fnas.execution.retry import Try

_POLL = 0.05  # seconds


@dataclass(frozen=True)
class _Worker:
    """A process on a device."""

    process: WorkerProcess
    device: str
    submitted: float

    @property
    def job(self) -> Job:
        return self.process.current.job


class LocalProcessExecutor(Executor):
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

    @property
    def idle(self) -> int:
        """The number of devices that have nothing to do; a job that was done before keeps one until it is returned."""
        return 0 if self._closed else max(0, len(self.devices) - len(self._workers) - len(self._ready))

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs submitted and not yet returned."""
        return tuple(job for job, _ in self._ready) + tuple(worker.job for worker in self._workers)

    def submit(self, job: Job) -> None:
        """Start a process for ``job`` on a free device.

        Raises:
            RuntimeError: nothing is idle.
            UserError: this machine has no such GPU.
        """
        self._refuse_unless_idle()
        if report := finished(job):
            self._ready.append((job, report))
            return
        clear_stop(job)
        taken = {worker.device for worker in self._workers}
        device = next(device for device in self.devices if device not in taken)
        refuse_absent(device, "--devices")
        self._workers.append(self._start(Try(job), device, time.monotonic()))

    def wait(self, timeout: float | None = None) -> Outcome | None:
        """Return the next outcome. Raises as :meth:`Executor.wait` does."""
        if not self.running:
            raise RuntimeError("nothing runs")
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._ready:
                job, report = self._ready.popleft()
                return report.outcome(job, self.devices[0])
            for worker in tuple(self._workers):
                if worker.process.ended and (outcome := self._ended(worker)):
                    return outcome
            if end is not None and time.monotonic() >= end:
                return None
            time.sleep(_POLL)

    def close(self) -> None:
        """Ask running jobs to save and leave; end after the grace period, or at once on Ctrl-C, those that haven't."""
        self._closed = True
        try:
            for worker in self._workers:
                worker.process.ask_to_stop()
            end = time.monotonic() + self.grace
            while time.monotonic() < end and not all(worker.process.ended for worker in self._workers):
                time.sleep(_POLL)
        finally:
            for worker in self._workers:
                worker.process.end()
            self._workers.clear()
            self._ready.clear()

    def _ended(self, worker: _Worker) -> Outcome | None:
        """Return the outcome of a process that has ended; None where the job is tried again, on the same device."""
        self._workers.remove(worker)
        worker.process.end()
        report = worker.process.report()
        again = worker.process.current.retry(report.kind, self.retries)
        if again is not None:
            self._workers.append(self._start(again, worker.device, worker.submitted))
            return None
        return report.outcome(worker.job, worker.device, time.monotonic() - worker.submitted)

    def _start(self, current: Try, device: str, submitted: float) -> _Worker:
        environment = worker_environment(device, min(len(self.devices), self.stage_jobs))
        return _Worker(WorkerProcess(current, inner_device(device), environment, self.grace), device, submitted)
