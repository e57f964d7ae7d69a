"""Cases through worker threads: in order, within the memory there is, with progress; the first failure ends it.

Threads, not processes: reading, decompressing and the arithmetic of arrays release the interpreter's lock.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from c2fnas.data.dataset import Case
from c2fnas.memory import free_memory

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]

VOLUMES_EACH = 5
"""Float32 volumes of a case (original or prepared, the larger) that a worker holds at most, resampling included."""

MEMORY_SHARE = 0.6

MOST_READS = 20


def in_order(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, progress: Progress | None = None
) -> Iterator[Result]:
    """Yield ``function`` of every item, in the order of the items; ``progress(done, total)`` is called in this thread.

    Raises:
        Exception: what the first failing item raised. Items that have not begun are dropped.
    """
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        for done, result in enumerate(pool.map(function, items), start=1):
            if progress is not None:
                progress(done, len(items))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def bounded_workers(cases: Sequence[Case], workers: int, voxels: Callable[[Case], int]) -> int:
    """Return how many of ``workers`` can hold the largest case at the same time; ``voxels`` counts those of a case."""
    return fitting_workers(max(map(voxels, cases), default=0) * 4 * VOLUMES_EACH, workers, free_memory())


def fitting_workers(bytes_each: int, workers: int, available: int) -> int:
    """Return the number of workers of ``bytes_each`` that may run with ``available`` bytes.

    >>> fitting_workers(2 * 2**30, 8, 16 * 2**30), fitting_workers(64 * 2**30, 8, 16 * 2**30)
    (4, 1)
    """
    return max(1, min(workers, int(available * MEMORY_SHARE) // max(1, bytes_each)))


def read_array(read: Callable[[], Result]) -> Result:
    """Return what ``read`` loads from an ``.npy`` or ``.npz`` file, reading again where Python stumbled over itself.

    numpy parses the head of a file as a Python literal. Python 3.11 counts the depth of that in one place for all
    threads, and raises ``SystemError`` where another thread, or a finalizer, parses too meanwhile
    (https://github.com/python/cpython/issues/106905). The file is in order; the next read succeeds.

    Raises:
        SystemError: after 20 reads that all ended so.
    """
    for _ in range(MOST_READS - 1):
        try:
            return read()
        except SystemError:
            continue
    return read()
