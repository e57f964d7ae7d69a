"""Progress in the terminal: a bar with an ETA per stage; plain lines where the output is no terminal."""

import time
from collections.abc import Iterable
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from c2fnas.runs.timing.progress import StageProgress, eta_text

LEAST_PAUSE, LONGEST_PAUSE = 30.0, 600.0
"""Seconds between two lines where the output is no terminal: the longer a stage has lasted, the fewer it needs."""
PAUSE_SHARE = 0.05


class Display:
    """A :class:`c2fnas.runs.reporter.Reporter` on the terminal."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._bars = _Bars(
            TextColumn("{task.description:14}"),
            BarColumn(24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[ending]}"),
            console=self._console,
            disable=not self._console.is_terminal or quiet,
        )
        self._tasks: dict[str, TaskID] = {}
        self._paces: dict[str, StageProgress] = {}
        self._last_line = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(text, markup=False, soft_wrap=True)

    def start(self, stage: str, total: float) -> None:
        """Add a bar for ``stage``."""
        self._tasks[stage] = self._bars.add_task(stage, total=max(total, 1e-9), note="", ending="")
        self._paces[stage] = StageProgress(max(total, 1e-9), time.monotonic())
        self._last_line = time.monotonic()

    def update(self, stage: str, done: float, note: str = "") -> None:
        """Move the bar of ``stage``; without a terminal, a line now and then."""
        now, pace = time.monotonic(), self._paces[stage]
        pace.update(done, now)
        eta = pace.eta(now)
        self._bars.update(self._tasks[stage], completed=done, note=note, ending="" if eta is None else eta_text(eta))
        if self._bars.disable and now - self._last_line > pause(now - pace.began):
            self._last_line = now
            self.say("; ".join(filter(None, [f"{stage}: {pace.text(now)}", note])))

    def finish(self, stage: str, note: str = "") -> None:
        """Fill the bar of ``stage``."""
        pace = self._paces[stage]
        self._bars.update(self._tasks[stage], completed=pace.total, note="", ending=note)
        if self._bars.disable:
            took = timedelta(seconds=round(time.monotonic() - pace.began))
            self.say(f"{stage}: done in {took}{'; ' + note if note else ''}")


def pause(elapsed: float) -> float:
    """Seconds until the next line of a stage that has lasted ``elapsed`` seconds.

    >>> pause(60), pause(3600), pause(86400)
    (30.0, 180.0, 600.0)
    """
    return min(LONGEST_PAUSE, max(LEAST_PAUSE, PAUSE_SHARE * elapsed))


class _Bars(Progress):
    """Bars, and under them what the running stages do, in the whole width of the terminal."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for task in self.tasks:
            if task.fields["note"]:
                yield Padding(Text(task.fields["note"]), (0, 0, 0, 2))
