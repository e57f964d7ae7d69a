"""A run as somebody sees who looks at its folder now, from whichever machine: what it has done, and what is at work."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2fnas.execution.call import RESULT
from c2fnas.files import changed_at, files_below
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.live import latest_metrics, note_of
from c2fnas.runs.lock import DRIVER
from c2fnas.runs.summary import RunSummary, read_summary
from c2fnas.text import duration
from c2fnas.training.metrics_log import METRICS

STALE = 600.0
"""Seconds without a written metric after which a job counts as one that nobody is at work on."""


@dataclass(frozen=True)
class RunState:
    """A run at one moment.

    Attributes:
        folder: of the run.
        summary: of its stages; None while its data are being prepared.
        jobs: a few words on each job at work.
        driver: the machine whose process says that it drives the run; None where none does.
        quiet: seconds since anything was written; None before anything was.
    """

    folder: RunFolder
    summary: RunSummary | None
    jobs: tuple[str, ...]
    driver: str | None
    quiet: float | None

    @property
    def finished(self) -> bool:
        """True if every stage is done and nobody drives the run, or has for long."""
        done = self.summary is not None and self.summary.finished
        return done and (self.driver is None or self._stale)

    @property
    def _stale(self) -> bool:
        return (self.quiet or 0) > STALE

    @property
    def _doubt(self) -> str:
        return " If its process has ended, the same command carries on." if self._stale else ""

    @property
    def text(self) -> str:
        """Return a sentence or two on where the run stands, and on who drives it."""
        if self.summary is None:
            return f"The data are being prepared on {self.driver}.{self._doubt}"
        said = self.summary.text
        if self.finished:
            return said
        if self.driver is None:
            return f"{said} Nobody drives it now."
        written = "" if self.quiet is None else f", last written {duration(self.quiet)} ago"
        stands = said.removesuffix(" The command that started it carries on.")
        stands = "All that was asked for before is done." if self.summary.finished else stands
        jobs = f", {slots} jobs at a time" if (slots := self.summary.slots.jobs) > 1 else ""
        return f"{stands} Driven from {self.driver}{jobs}{written}.{self._doubt}"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value: the summary's, and what is at work."""
        told = {"jobs": list(self.jobs), "driver": self.driver, "quiet": self.quiet, "text": self.text}
        return ({"run": str(self.folder.root)} if self.summary is None else self.summary.to_json()) | told


def read_state(run: Path) -> RunState:
    """Read a run folder, under way or not. Nothing is written or locked there.

    Raises:
        UserError: it is no run folder, or a file of it is damaged.
    """
    folder = RunFolder(run)
    driver = _driver(run)
    now = time.time()
    if driver is not None and not folder.config.exists():
        kept = changed_at(folder.spent)  # every few seconds, once the files are checked
        return RunState(folder, None, (), driver, max(0.0, now - kept) if kept else None)
    summary = read_summary(run)
    jobs = tuple(_jobs_at_work(run, now)) if driver is not None else ()
    return RunState(folder, summary, jobs, driver, max(0.0, now - summary.changed.timestamp()))


def _driver(run: Path) -> str | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((run / DRIVER).read_text(encoding="utf-8"))["host"])
    return None


def _jobs_at_work(run: Path, now: float) -> Iterator[str]:
    """Yield words on every job that has written a metric lately, and no result since."""
    for metrics in sorted(files_below(run, METRICS)):
        with suppress(OSError):
            written = metrics.stat().st_mtime
            ended = changed_at(metrics.with_name(RESULT)) >= written
            if not ended and now - written < STALE:
                yield note_of(metrics.parent.relative_to(run).as_posix(), latest_metrics(metrics.parent))
