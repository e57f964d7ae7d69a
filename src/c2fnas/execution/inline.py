"""Jobs in this process, one at a time: the twin of every other executor, and the one to debug with."""

import time

from c2fnas.execution.call import clear_stop, finished, make_call
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.execution.retry import Try
from c2fnas.memory import release_memory


class InlineExecutor(Executor):
    """Runs the submitted job inside :meth:`wait`, which returns when it has ended whatever the timeout."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._job: Job | None = None

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
        self._refuse_unless_idle()
        clear_stop(job)
        self._job = job

    def wait(self, timeout: float | None = None) -> Outcome | None:
        """Run the submitted job. Raises as :meth:`Executor.wait` does; KeyboardInterrupt passes."""
        if self._job is None:
            raise RuntimeError("nothing runs")
        job, self._job = self._job, None
        report = finished(job)
        return report.outcome(job, self.device) if report else self._run(Try(job))

    def close(self) -> None:
        """Drop a job not yet started."""
        self._job, self._closed = None, True

    def _run(self, current: Try) -> Outcome:
        start = time.monotonic()
        while True:
            report = make_call(current.job, current.payload, self.device)
            again = current.retry(report.kind, retries=0)
            if again is None:
                return report.outcome(current.job, self.device, time.monotonic() - start)
            release_memory()
            current = again
