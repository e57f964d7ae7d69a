"""A run that is looked at again and again while it goes on, in the terminal or as a local page."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.runs.state import RunState


@dataclass(frozen=True)
class Watch:
    """A run folder to look at; iterating gives its state until the run is finished.

    Attributes:
        run: the run folder.
        every: seconds between two looks.
        port: of the local page, 0 for one that is free; None where no page is asked for.
    """

    run: Path
    every: float = 2.0
    port: int | None = None

    def look(self) -> "RunState":
        """Return the state of the run now."""
        from c2fnas.runs.state import read_state

        return read_state(self.run)

    def __iter__(self) -> "Iterator[RunState]":
        """Yield the state now and after every pause, until the run is finished."""
        state = self.look()
        while True:
            yield state
            if state.finished:
                return
            time.sleep(self.every)
            state = self.look()

    def serve(self) -> AbstractContextManager[str]:
        """Return a context in which a page on this machine's loopback follows the run; it gives the page's address.

        Raises:
            UserError: the port is taken.
        """
        from c2fnas.api.watch_server import served

        return served(self.look, self.every, self.port or 0)

    def to_json(self) -> dict[str, Any]:
        """Return the state of the run now."""
        return self.look().to_json()


def watch(run: str | Path, *, every: float = 2.0, serve: bool = False, port: int | None = None) -> Watch:
    """Follow a run while it goes on: its stages, what is left, what is at work, what was found so far.

    In a terminal the text is drawn again until the run is finished or Ctrl-C is pressed; elsewhere, and with `--json`,
    it is printed once. The run folder is only read, so this may be done by anybody who can read it, on whatever
    machine, and as often as one likes.

    Args:
        run: The run folder.
        every: Seconds between two looks.
        serve: Show it as a page of this machine too, which follows the run; no other machine can open it.
        port: The page's port; by default one that is free.

    Returns:
        The run to look at: `look()` gives its state now, a loop over it one state after the other.

    Raises:
        UserError: the folder is no run, or an option is wrong.

    Examples:
        c2fnas watch runs/hippocampus
        c2fnas watch /shared/pancreas --serve --port 8080
        c2fnas watch runs/hippocampus --json
    """
    if not 0.1 <= every <= 3600:
        raise UserError(f"--every {every:g}: give seconds from 0.1 to 3600.")
    if port is not None and not serve:
        raise UserError("--port is that of the page: give --serve as well.")
    if port is not None and not 0 <= port < 65536:
        raise UserError(f"--port {port}: give a number from 1 to 65535.")
    from c2fnas.runs.lock import DRIVER

    folder = Path(run)
    if not (folder / "run.yaml").exists() and not (folder / DRIVER).exists():
        raise UserError(f"{run}: not a run folder, there is no run.yaml in it. Name the folder of `c2fnas run`.")
    return Watch(folder, every, (port or 0) if serve else None)
