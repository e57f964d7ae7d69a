"""In this process, one job at a time: the twin of every other executor, and the one to debug with."""

import time
from types import TracebackType
from typing import Self

from c2fnas.execution.call import clear_stop, finished, make_call
from c2fnas.execution.job import Job, Outcome
from c2fnas.execution.retry import Attempt
from c2fnas.memory import release_memory


class InlineExecutor:
    """Runs the submitted job inside :meth:`wait`, which returns when it has ended whatever the timeout."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._job: Job | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        """1 where nothing has been submitted, else 0."""
        return 0 if self._job or self._closed else 1

    @property
    def running(self) -> tuple[Job, ...]:
        """The submitted job."""
        return (self._job,) if self._job else ()

    def submit(self, job: Job) -> None:
        """Keep ``job`` for :meth:`wait`. Raises RuntimeError where nothing is idle."""
        if not self.idle:
            raise RuntimeError(
                "the executor is closed" if self._closed else "nothing is idle: wait for an outcome first"
            )
        clear_stop(job)
        self._job = job

    def wait(self, timeout: float | None = None) -> Outcome | None:
        """Run the submitted job. Raises as :meth:`Executor.wait` does; KeyboardInterrupt passes."""
        if self._job is None:
            raise RuntimeError("nothing runs")
        job, self._job = self._job, None
        report = finished(job)
        return report.outcome(job, self.device) if report else self._run(Attempt(job))

    def close(self) -> None:
        """Drop a job not yet started."""
        self._job, self._closed = None, True

    def _run(self, attempt: Attempt) -> Outcome:
        start = time.monotonic()
        while True:
            report = make_call(attempt.job, attempt.payload, self.device)
            following = attempt.following(report.kind, retries=0)
            if following is None:
                return report.outcome(attempt.job, self.device, time.monotonic() - start)
            release_memory()
            attempt = following

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
