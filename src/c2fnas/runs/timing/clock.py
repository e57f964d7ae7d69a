"""The time that counts against a budget: seconds in which a driver was at work on the run, over all sessions."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from c2fnas.errors import UserError
from c2fnas.files import read_json, refusing_damage, write_json
from c2fnas.runs.poll import polling

Now = Callable[[], float]

KEPT_EVERY = 5.0
"""Seconds between two entries of the time: a driver that is killed loses no more."""


class ActiveTime:
    """Seconds of active driver time. A pause between two sessions costs nothing.

    Args:
        path: where the sum is kept, in a run folder that has a fingerprint.
        now: a clock that only goes forward, in seconds.

    >>> import tempfile
    >>> run = Path(tempfile.mkdtemp())
    >>> (run / "fingerprint.json").touch()
    >>> ticks = iter([0.0, 7.0, 7.0, 100.0, 103.0, 103.0])
    >>> spent = ActiveTime(run / "spent.json", lambda: next(ticks))
    >>> with spent.running():
    ...     spent.seconds
    7.0
    >>> with spent.running():
    ...     spent.seconds
    10.0
    """

    def __init__(self, path: Path, now: Now = time.monotonic) -> None:
        self._path, self.now = path, now
        self._before = self._preparation = 0.0
        self._began: float | None = None
        self._stopped: float | None = None

    @property
    def seconds(self) -> float:
        """The sum so far, that of the session at work included."""
        if self._began is None:
            return self._read()[0]
        now = self.now() if self._stopped is None else self._stopped
        return self._before + now - self._began

    @property
    def preparation(self) -> float:
        """The part of it in which the run was prepared, see :meth:`preparing`."""
        return self._preparation if self._began is not None else self._read()[1]

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Count the time of a session's part as preparation: no job of a stage is at work."""
        before, kept = self.seconds, self.preparation
        try:
            yield
        finally:
            self._preparation = kept + self.seconds - before

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Leave out the time of a session's part: a study besides the run costs its budget nothing."""
        if self._began is None or self._stopped is not None:
            yield
            return
        self._stopped = self.now()
        try:
            yield
        finally:
            self._began += self.now() - self._stopped
            self._stopped = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of a session; one within another is the same session."""
        if self._began is not None:
            yield
            return
        (self._before, self._preparation), self._began = self._read(), self.now()
        try:
            with polling(self._keep_if_possible, KEPT_EVERY):
                yield
            self._keep()
        except BaseException:  # which tells more than a disk on which the time can't be written either
            self._keep_if_possible()
            raise
        finally:
            self._began = None

    def _keep(self) -> None:
        """Write the sum down."""
        if self._path.with_name("fingerprint.json").exists():  # a mistake leaves nothing behind
            write_json(self._path, {"seconds": self.seconds, "preparation": self._preparation})

    def _keep_if_possible(self) -> None:
        """The same in a thread, since cases are prepared, plans weighed and steps timed without any other loop."""
        with suppress(OSError, UserError):  # a full disk is told of by the work itself
            self._keep()

    def _read(self) -> tuple[float, float]:
        kept = read_json(self._path) if self._path.exists() else {}
        with refusing_damage(self._path, "the time of a run", "Delete it: the run then has its whole budget again."):
            return float(kept.get("seconds", 0.0)), float(kept.get("preparation", 0.0))
