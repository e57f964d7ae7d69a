"""Reading numpy's files while other code parses Python literals."""

import ast
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from c2fnas.data.parallel import MOST_READS, read_array


class _Parser:
    """Garbage whose finalizer parses a literal, as another thread may at any moment, and leaves one more like it."""

    left = 0

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        ast.literal_eval("{'shape': (1, 2)}")
        if _Parser.left:
            _Parser.left -= 1
            _Parser()


@contextmanager
def parsers(number: int) -> Iterator[None]:
    before = gc.get_threshold()
    _Parser.left = number
    _Parser()
    gc.set_threshold(1, 1000, 1000)
    try:
        yield
    finally:
        _Parser.left = 0
        gc.set_threshold(*before)


def test_a_file_is_read_while_other_code_parses(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(24).reshape(2, 3, 4))
    for _ in range(20):
        with parsers(100):
            found = read_array(lambda: np.load(path, mmap_mode="r", allow_pickle=False))
        assert np.array_equal(found, np.arange(24).reshape(2, 3, 4))


def test_an_error_that_stays_is_raised() -> None:
    reads = []

    def read() -> None:
        reads.append(1)
        raise SystemError("depth")

    with pytest.raises(SystemError, match="depth"):
        read_array(read)
    assert len(reads) == MOST_READS


def test_other_errors_are_raised_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_array(lambda: np.load(tmp_path / "a.npy", allow_pickle=False))
