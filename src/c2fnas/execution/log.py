"""Warnings of a job: the worker writes them to the job's folder, the driver shows them to its user."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path

from c2fnas.execution.job import Job

WARNINGS = "warnings.txt"


def keep_warnings(folder: Path) -> None:
    """Write this process's own warnings to ``folder`` too, a line each, besides its log."""
    kept = logging.FileHandler(folder / WARNINGS, encoding="utf-8", delay=True)
    kept.setFormatter(_OneLine("%(message)s"))
    for handler in (kept, logging.StreamHandler(sys.stderr)):
        handler.setLevel(logging.WARNING)
        logging.getLogger("c2fnas").addHandler(handler)


class WarningLog:
    """The warnings of running jobs that have not been shown yet.

    >>> import tempfile
    >>> job, log = Job("one", "module:function", {}, Path(tempfile.mkdtemp())), WarningLog()
    >>> log.start(job)
    >>> written = (job.folder / WARNINGS).write_text("Short of memory.\\n")
    >>> log.unread([job]), log.unread([job])
    (['one: Short of memory.'], [])
    """

    def __init__(self) -> None:
        self._told: dict[Path, int] = {}

    def start(self, job: Job) -> None:
        """Pass over the warnings that ``job`` has from an earlier driver; called before it is submitted."""
        self._told[job.folder] = len(_lines(job))

    def unread(self, jobs: Iterable[Job]) -> list[str]:
        """Return the warnings of ``jobs`` since the last call, each after its job's name."""
        return [f"{job.id}: {line}" for job in jobs for line in self._lines_since(job)]

    def _lines_since(self, job: Job) -> list[str]:
        lines = _lines(job)
        told, self._told[job.folder] = self._told.get(job.folder, 0), len(lines)
        return lines[told:]


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return " ".join(super().format(record).split())


def _lines(job: Job) -> list[str]:
    # Whole lines: one that is being written waits.
    try:
        text = (job.folder / WARNINGS).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.split("\n")[:-1]
