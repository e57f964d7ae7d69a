"""Warnings of a job: kept in its folder by the worker that logs them, told by the driver to its user."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path

from c2fnas.execution.job import Job

NOTICES = "warnings.txt"


def keep_warnings(folder: Path) -> None:
    """Have this process's warnings of ours written to ``folder``, a line each, and to its log as ever."""
    kept = logging.FileHandler(folder / NOTICES, encoding="utf-8", delay=True)
    kept.setFormatter(_OneLine("%(message)s"))
    for handler in (kept, logging.StreamHandler(sys.stderr)):
        handler.setLevel(logging.WARNING)
        logging.getLogger("c2fnas").addHandler(handler)


class Notices:
    """What running jobs have warned of and nobody has been told yet.

    >>> import tempfile
    >>> job, notices = Job("one", "module:function", {}, Path(tempfile.mkdtemp())), Notices()
    >>> notices.begin(job)
    >>> written = (job.folder / NOTICES).write_text("Short of memory.\\n")
    >>> notices.news([job]), notices.news([job])
    (['one: Short of memory.'], [])
    """

    def __init__(self) -> None:
        self._told: dict[Path, int] = {}

    def begin(self, job: Job) -> None:
        """``job`` is about to start: what its folder holds was told by an earlier driver."""
        self._told[job.folder] = len(_lines(job))

    def news(self, jobs: Iterable[Job]) -> list[str]:
        """The warnings of ``jobs`` since the last call, each after its job's name."""
        return [f"{job.id}: {line}" for job in jobs for line in self._unread(job)]

    def _unread(self, job: Job) -> list[str]:
        lines = _lines(job)
        told, self._told[job.folder] = self._told.get(job.folder, 0), len(lines)
        return lines[told:]


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return " ".join(super().format(record).split())


def _lines(job: Job) -> list[str]:
    """Whole lines; one that is being written waits."""
    try:
        text = (job.folder / NOTICES).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.split("\n")[:-1]
