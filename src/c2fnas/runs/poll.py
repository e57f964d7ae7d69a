"""Polling beside a call that lasts, and handing a request to stop on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from c2fnas.runs.folder import RunFolder

REFRESH_SECONDS = 0.5


@contextmanager
def polling(look: Callable[[], None], every: float = REFRESH_SECONDS) -> Iterator[None]:
    """Call ``look`` in a thread, every so many seconds until the body has ended."""
    ended = threading.Event()

    def keep_looking() -> None:
        while not ended.wait(every):
            look()

    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def hand_on_stop(folder: "RunFolder", stop: Path) -> None:
    """Hand a run's request to stop on to a worker, which looks for a file ``stop`` of its own."""
    if folder.stop_requested:
        with suppress(OSError):  # its folder may not be there yet
            stop.touch()
