"""Polling beside a call that lasts, and handing a request to stop on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from c2fnas.runs.driver import REFRESH_SECONDS
from c2fnas.runs.folder import RunFolder


@contextmanager
def polling(look: Callable[[], None]) -> Iterator[None]:
    """Call ``look`` in a thread, again and again until the body has ended."""
    ended = threading.Event()

    def keep_looking() -> None:
        while not ended.wait(REFRESH_SECONDS):
            look()

    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def hand_on_stop(folder: RunFolder, stop: Path) -> None:
    """Hand a run's request to stop on to a worker, which looks for a file ``stop`` of its own."""
    if folder.stop_requested:
        with suppress(OSError):  # its folder may not be there yet
            stop.touch()
