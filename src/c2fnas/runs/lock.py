"""One driver at a time on a run folder."""

import json
import os
import shlex
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from c2fnas.errors import UserError
from c2fnas.files import write_json

DRIVER = "driver.json"
"""The file beside the lock that tells of the process that holds it."""


class RunLock:
    """Held by the driver of a run; a second one is refused, naming the first.

    The operating system holds the lock for the living process, so a driver that was killed leaves none behind. What
    is told about the first driver lies beside it in ``driver.json``.

    >>> import tempfile
    >>> with RunLock(Path(tempfile.mkdtemp())) as lock:
    ...     lock.held
    True
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._lock = FileLock(self._folder / ".lock", fallback_to_soft=False)

    @property
    def held(self) -> bool:
        """True if this object holds the lock."""
        return self._lock.is_locked

    @property
    def _driver(self) -> Path:
        return self._folder / DRIVER

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            UserError: another driver holds it.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(self._refusal()) from None
        except (OSError, NotImplementedError) as error:
            raise UserError(
                f"{self._folder}: the run folder cannot be locked ({error}). Choose a folder on a disk "
                "that you may write to and that supports file locks."
            ) from error
        write_json(self._driver, _myself())

    def release(self) -> None:
        """Give the lock back; a folder that holds nothing else goes too, so that a mistake leaves nothing behind."""
        if self.held:
            self._driver.unlink(missing_ok=True)
            if [path.name for path in self._folder.iterdir()] == [".lock"]:
                (self._folder / ".lock").unlink()  # while it is held: who opened it meanwhile finds it gone
                with suppress(OSError):
                    self._folder.rmdir()
            self._lock.release()

    def _refusal(self) -> str:
        who = "another process (it has not yet said which)"
        with suppress(OSError, ValueError, KeyError, TypeError):
            first = json.loads(self._driver.read_text(encoding="utf-8"))
            who = f"process {first['pid']} on {first['host']} since {first['since']} (`{first['command']}`)"
        return (
            f"{self._folder}: this run is being driven by {who}. Two drivers would spoil each other's work: "
            "wait for that one, stop it, or choose another run folder."
        )

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _myself() -> dict[str, str | int]:
    since = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": shlex.join(sys.argv)}
