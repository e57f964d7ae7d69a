"""The interface through which stages tell their progress; the command line shows it, a test or notebook may listen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from c2fnas.notebook import Bars, in_notebook
from c2fnas.runs.poll import polling


class Reporter(Protocol):
    """Hears of the progress of stages."""

    def say(self, text: str) -> None:
        """A line worth reading once."""

    def start(self, stage: str, total: float) -> None:
        """``stage`` begins; it has ``total`` units of work."""

    def update(self, stage: str, done: float, note: str = "") -> None:
        """``done`` units (fractions included) are finished; ``note`` is what is happening now."""

    def finish(self, stage: str, note: str = "") -> None:
        """``stage`` has ended."""


class Silent:
    """A reporter that keeps quiet."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def start(self, stage: str, total: float) -> None:
        """Show nothing."""

    def update(self, stage: str, done: float, note: str = "") -> None:
        """Show nothing."""

    def finish(self, stage: str, note: str = "") -> None:
        """Show nothing."""


def listening(reporter: Reporter | None) -> Reporter:
    """Return ``reporter``; where there is none, bars in a notebook and silence elsewhere."""
    return reporter or (Bars() if in_notebook() else Silent())


@contextmanager
def ticking(reporter: Reporter, stage: str, note: str, *, every: float = 1.0) -> Iterator[Callable[[str], None]]:
    """Tell of a stage that can't tell of its progress: a line before it and before each phase, and on while it lasts.

    Args:
        reporter: hears of it, from a thread of its own.
        stage: its name.
        note: on what is happening.
        every: seconds from one time to the next.

    Yields:
        A function that tells of the next phase.
    """
    notes = [note]

    def tell(phase: str) -> None:
        notes.append(phase)
        reporter.say(f"{stage}: {phase} ...")
        reporter.update(stage, 0, phase)

    reporter.start(stage, 1)
    tell(note)
    with polling(lambda: reporter.update(stage, 0, notes[-1]), every):
        yield tell
    reporter.finish(stage)
