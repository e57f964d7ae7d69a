"""The interface of executors, which run jobs here, in other processes or on other machines."""

import sys
from abc import ABC, abstractmethod
from typing import Self

from c2fnas.execution.job import Job, Outcome


class Executor(ABC):
    """Runs jobs; the loop belongs to the caller. Leaving a ``with`` block closes it.

    >>> from c2fnas.execution import InlineExecutor, Job
    >>> import tempfile, pathlib
    >>> job = Job("greeting", "c2fnas.execution.call:echo", {"word": "hello"}, pathlib.Path(tempfile.mkdtemp()))
    >>> with InlineExecutor() as executor:
    ...     executor.submit(job)
    ...     outcome = executor.wait()
    >>> outcome.kind, outcome.value
    ('done', {'word': 'hello'})
    """

    stage_jobs: int = sys.maxsize
    """The number of jobs in the stage at hand. Where they are fewer than the devices, they share all the cores."""

    elsewhere: bool = False
    """True if jobs may run on other machines than the driver's."""

    _closed = False

    @property
    def slots(self) -> int:
        """The number of jobs that run at a time; one at least, though a cluster may have no room yet."""
        return max(1, self.idle + len(self.running))

    @property
    @abstractmethod
    def idle(self) -> int:
        """The number of jobs that can be submitted now."""

    @property
    @abstractmethod
    def running(self) -> tuple[Job, ...]:
        """The jobs submitted and not yet returned by :meth:`wait`, oldest first."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Start ``job``.

        Raises:
            RuntimeError: nothing is idle, or the executor is closed.
        """

    @abstractmethod
    def wait(self, timeout: float | None = None) -> Outcome | None:
        """Return the next outcome, in order of completion; None where ``timeout`` seconds pass without one.

        Raises:
            RuntimeError: nothing runs, so nothing can be waited for.
            Interrupted: a job was stopped on request; submitted again, it carries on.
            UserError: a job met something that only the user can put right, such as a full disk. No fault of the
                candidate, so it is not an outcome; submitted again, it carries on.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop what still runs: asked to save and leave first, ended after a grace period."""

    def _refuse_unless_idle(self) -> None:
        if not self.idle:
            raise RuntimeError(
                "the executor is closed" if self._closed else "nothing is idle: wait for an outcome first"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
