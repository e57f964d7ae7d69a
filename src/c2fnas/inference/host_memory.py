"""How much main memory a piece of work needs, by measurement: a processor's allocator knows no cap of its own."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

Result = TypeVar("Result")
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"


def used_memory() -> int:
    """Bytes of main memory that this process holds."""
    return int(psutil.Process().memory_info().rss)


def measured(work: Callable[[], Result]) -> tuple[Result, int]:
    """The result of ``work`` and the bytes by which memory grew at its peak; 0 where the system doesn't tell."""
    with suppress(OSError):
        CLEAR_REFS.write_text(RESET_PEAK)
    before = used_memory()
    result = work()
    return result, max(0, _peak() - before)


def _peak() -> int:
    """The most bytes that this process has held since the peak was reset."""
    with suppress(OSError, ValueError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
