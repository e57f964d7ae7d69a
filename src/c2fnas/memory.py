"""Memory: what is free, what this process holds, and telling a lack of it from other failures. Imports no torch."""

import ctypes
import errno
import gc
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

from c2fnas.cgroups import container_memory

Result = TypeVar("Result")
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
M_TRIM_THRESHOLD, M_MMAP_MAX, LARGEST_INT = -1, -4, 2**31 - 1
MESSAGES = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "alloc_failed",
    "allocation_failed",
    "cublas_status_not_initialized",
    "cudnn_status_not_initialized",
    "unable to find an engine to execute this computation",
)
"""Texts, in lower case, of torch's errors: of its allocators, pinned memory's too, of CUDA, cuBLAS and cuDNN.

PyTorch passes over every convolution of cuDNN whose workspace does not fit, and then says that it found no engine;
cuBLAS and cuDNN are not initialised where their handles found no room."""
CUDA_MEMORY_ALLOCATION = 2
"""The code of CUDA's error for a lack of memory."""


def free_memory(device: object = "cpu") -> int:
    """Return the bytes that this process may still take of a GPU, or of main memory and that of its container.

    Args:
        device: a `torch.device` or its name.
    """
    if _is_cuda(device):
        import torch

        place = str(device)
        return (
            torch.cuda.mem_get_info(place)[0] + torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
        )
    return min(psutil.virtual_memory().available, container_memory())


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
    """Return the most bytes that this process has held on ``device``, ever on a system without ``/proc``."""
    if _is_cuda(device):
        import torch

        return torch.cuda.max_memory_reserved(str(device))
    with suppress(OSError, ValueError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def measured(work: Callable[[], Result], device: object = "cpu") -> tuple[Result, int]:
    """Return the result of ``work`` and the bytes by which the memory of ``device`` grew at its peak.

    Where the system can't reset the peak, and an earlier one was higher, it is what the work has left behind.
    """
    _reset_peak(device)
    before, top = used_memory(device), peak_memory(device)
    result = work()
    peak = peak_memory(device)
    return result, max(0, (peak if peak > top else used_memory(device)) - before)


def _reset_peak(device: object) -> None:
    if _is_cuda(device):
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(str(device))
    else:
        with suppress(OSError):
            CLEAR_REFS.write_text(RESET_PEAK)


def is_out_of_memory(error: BaseException) -> bool:
    """True if ``error``, or what it was raised from, is a lack of main, pinned or device memory."""
    return any(_lacks_memory(link) for link in _chain(error))


def release_memory() -> None:
    """Give back what a training or a failed job has left behind in this process."""
    gc.collect()
    trim_memory()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def trim_memory() -> None:
    """Have glibc give back what this process has freed; with another C library nothing happens."""
    _c_library("malloc_trim", 0)


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
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if type(error).__name__ == "AcceleratorError" and getattr(error, "error_code", None) == CUDA_MEMORY_ALLOCATION:
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(message in text for message in MESSAGES)
