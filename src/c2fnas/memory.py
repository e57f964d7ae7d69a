"""Memory: what is free, what this process holds, and telling a lack of it from other failures. Imports no torch."""

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

Result = TypeVar("Result")
CGROUP = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 62
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
M_TRIM_THRESHOLD, M_MMAP_MAX, LARGEST_INT = -1, -4, 2**31 - 1
MESSAGES = ("out of memory", "can't allocate memory", "cannot allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


def free_memory() -> int:
    """Return the bytes of main memory that are free, or that the container may still take where they are fewer."""
    return min(psutil.virtual_memory().available, container_memory())


def container_memory(folder: Path = CGROUP) -> int:
    """Return the bytes that a container's processes may still take; `UNLIMITED` without a limit."""
    try:
        limit = int((folder / "memory.max").read_text())
        fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(0, limit - int(fields["anon"]))
    except (OSError, ValueError, KeyError):
        return UNLIMITED


def used_memory(device: object = "cpu") -> int:
    """Return the bytes that this process holds: of a GPU what PyTorch has reserved there, else its resident memory.

    Args:
        device: a `torch.device` or its name.

    >>> used_memory("cpu") > 1_000_000
    True
    """
    if _is_cuda(device):
        import torch

        return torch.cuda.memory_reserved(str(device))
    return int(psutil.Process().memory_info().rss)


def peak_memory(device: object = "cpu") -> int:
    """Return the most bytes that this process has held on ``device``, or holds now if that is unknown."""
    if _is_cuda(device):
        import torch

        return torch.cuda.max_memory_reserved(str(device))
    with suppress(OSError, ValueError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return used_memory()


def measured(work: Callable[[], Result]) -> tuple[Result, int]:
    """Return the result of ``work`` and the bytes by which main memory grew at its peak."""
    with suppress(OSError):
        CLEAR_REFS.write_text(RESET_PEAK)
    before = used_memory()
    result = work()
    return result, max(0, peak_memory() - before)


def is_out_of_memory(error: BaseException) -> bool:
    """True if ``error``, or what it was raised from, is a lack of main or device memory."""
    return any(_lacks_memory(link) for link in _chain(error))


def release_memory() -> None:
    """Give back what a training or a failed job has left behind in this process."""
    gc.collect()
    _c_library("malloc_trim", 0)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def keep_freed_memory() -> None:
    """Have glibc keep what this process frees, as a training takes the same again in every iteration.

    By itself it returns every large tensor to the system, which fills the pages of the next one with zeros: a tenth of
    an iteration on a CPU (docs/decisions/0095). With another C library nothing happens.
    """
    _c_library("mallopt", M_MMAP_MAX, 0)
    _c_library("mallopt", M_TRIM_THRESHOLD, LARGEST_INT)


def kernel_kills(path: Path = Path("/proc/vmstat")) -> int:
    """Return how many processes the kernel has ended for lack of memory since the start; 0 where it doesn't say."""
    with suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def offer_to_be_killed_first(path: Path = Path("/proc/self/oom_score_adj")) -> None:
    """Have the kernel, short of memory, end this worker rather than the driver."""
    with suppress(OSError):
        path.write_text("500")


def _c_library(function: str, *arguments: int) -> None:
    """Call a function of the C library, if it has one of the name."""
    with suppress(OSError, AttributeError, TypeError):
        getattr(ctypes.CDLL(None), function)(*arguments)


def _is_cuda(device: object) -> bool:
    return str(device).partition(":")[0] == "cuda"


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
    return isinstance(error, RuntimeError) and any(message in str(error) for message in MESSAGES)
