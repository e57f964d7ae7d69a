"""Requests to stop: a file ``stop`` in the folder, Ctrl-C, or a polite signal from a scheduler."""

import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from c2fnas.files import STOP


class StopRequest:
    """Context in which the first SIGINT or SIGTERM is a request, obeyed after the iteration; the second acts at once.

    Only the main thread may handle signals; outside of it only the file counts.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / STOP
        self._heard = False
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        """True if somebody has asked to stop."""
        return self._heard or self._file.exists()

    def obeyed(self) -> None:
        """Remove the file, so that the same command carries on."""
        self._file.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._heard = True
        # None: a handler that was not set from Python, and can't be set back.
        signal.signal(number, self._before[number] or signal.SIG_DFL)
