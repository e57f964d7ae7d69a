"""Telling a lack of memory from other failures, so that it can be answered with a smaller micro-batch."""

import gc
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MESSAGES = ("out of memory", "can't allocate memory", "cannot allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error``, or what it was raised from, is a lack of host or device memory. Does not import torch."""
    return any(_lacks_memory(link) for link in _chain(error))


def free_memory() -> None:
    """Give back what a failed attempt left behind in this process."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def kernel_kills(path: Path = Path("/proc/vmstat")) -> int:
    """How many processes the kernel has ended for lack of memory since the machine started; 0 where it doesn't say."""
    with suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def offer_to_be_killed_first(path: Path = Path("/proc/self/oom_score_adj")) -> None:
    """Have the kernel, short of memory, end this worker rather than the driver."""
    with suppress(OSError):
        path.write_text("500")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _lacks_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # torch's CPU allocator raises a plain RuntimeError.
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _MESSAGES)
