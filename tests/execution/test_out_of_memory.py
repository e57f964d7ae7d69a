"""Lack of memory is told from other failures."""

from pathlib import Path

import pytest
import torch

from c2fnas.execution.memory import is_out_of_memory, kernel_kills


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    ],
)
def test_lack_of_memory(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [ValueError("out of memory"), RuntimeError("shapes differ"), KeyError("memory")])
def test_other_failures(error: BaseException) -> None:
    assert not is_out_of_memory(error)


def test_torch_itself_raises_what_is_recognised() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)


def test_a_cause_counts_unless_it_was_set_aside() -> None:
    def failing(cause: BaseException | None) -> BaseException:
        try:
            try:
                raise MemoryError
            except MemoryError as error:
                raise ValueError("training failed") from (error if cause is None else None)
        except ValueError as error:
            return error

    assert is_out_of_memory(failing(None))
    assert not is_out_of_memory(failing(ValueError()))


def test_kernel_kills_are_read_where_the_kernel_tells(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("pgfault 17\noom_kill 3\nnuma 1\n")
    assert kernel_kills(tmp_path / "vmstat") == 3
    assert kernel_kills(tmp_path / "absent") == 0
