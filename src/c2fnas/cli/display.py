"""Progress in the terminal: a bar with an ETA per stage; plain lines where the output is no terminal."""

import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_SECONDS = 30.0


class Display:
    """A :class:`c2fnas.stages.progress.Reporter` on the terminal."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description:14}"), BarColumn(24), TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("ETA"), TimeRemainingColumn(elapsed_when_finished=False), TextColumn("{task.fields[note]}"),
            console=self._console, disable=not self._console.is_terminal or quiet, speed_estimate_period=300,
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}
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
        self._tasks[stage] = self._bars.add_task(stage, total=max(total, 1e-9), note="")
        self._began[stage] = time.monotonic()
        self._last_line = time.monotonic()

    def update(self, stage: str, done: float, note: str = "") -> None:
        """Move the bar of ``stage``; without a terminal, a line every half minute."""
        self._bars.update(self._tasks[stage], completed=done, note=note)
        if self._bars.disable and time.monotonic() - self._last_line > LINE_SECONDS:
            self._last_line = time.monotonic()
            self.say(f"{stage}: {self._position(stage, done)}{note}")

    def finish(self, stage: str, note: str = "") -> None:
        """Fill the bar of ``stage``."""
        task = self._tasks[stage]
        total = next(each.total for each in self._bars.tasks if each.id == task)
        self._bars.update(task, completed=total, note=note)
        if self._bars.disable:
            took = timedelta(seconds=round(time.monotonic() - self._began[stage]))
            self.say(f"{stage}: done in {took}{'; ' + note if note else ''}")

    def _position(self, stage: str, done: float) -> str:
        total = next(each.total for each in self._bars.tasks if each.id == self._tasks[stage]) or 1
        share = min(1.0, done / total)
        elapsed = time.monotonic() - self._began[stage]
        eta = timedelta(seconds=round(elapsed * (1 - share) / share)) if share > 0 else "?"
        return f"{100 * share:.0f} %, ETA {eta}; "
