"""The one interface behind which a job runs here, in another process or on another machine."""

from types import TracebackType
from typing import Protocol, Self

from c2fnas.execution.job import Job, Outcome


class Executor(Protocol):
    """Runs jobs; the loop belongs to the caller.

    >>> from c2fnas.execution import InlineExecutor, Job
    >>> import tempfile, pathlib
    >>> job = Job("greeting", "c2fnas.execution.call:echo", {"word": "hello"}, pathlib.Path(tempfile.mkdtemp()))
    >>> with InlineExecutor() as executor:
    ...     executor.submit(job)
    ...     outcome = executor.wait()
    >>> outcome.kind, outcome.value
    ('done', {'word': 'hello'})
    """

    @property
    def idle(self) -> int:
        """How many jobs can be submitted now."""

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs submitted and not yet returned by :meth:`wait`, oldest first."""

    def submit(self, job: Job) -> None:
        """Start ``job``.

        Raises:
            RuntimeError: nothing is idle, or the executor is closed.
        """

    def wait(self, timeout: float | None = None) -> Outcome | None:
        """The next outcome, in order of completion; None where ``timeout`` seconds pass without one.

        Raises:
            RuntimeError: nothing runs, so nothing can be waited for.
            Interrupted: a job was stopped on request; submitted again, it carries on.
            UserError: a job met something that only the user can put right, such as a full disk. No fault of the
                candidate, so it is not an outcome; submitted again, it carries on.
        """

    def close(self) -> None:
        """Stop what still runs: asked to save and leave first, ended after a grace period."""

    def __enter__(self) -> Self:
        """The executor itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
