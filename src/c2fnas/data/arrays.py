"""Arrays of numpy's files, read from many threads."""

from collections.abc import Callable
from typing import TypeVar

Read = TypeVar("Read")
MOST_READS = 20


def read_array(read: Callable[[], Read]) -> Read:
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
