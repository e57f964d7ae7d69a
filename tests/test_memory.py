"""Memory: the free part is what machine and container both have; a lack of it is told from other failures."""

import ctypes
import errno
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_cases import write_case

from c2fnas import memory
from c2fnas.data import parallel
from c2fnas.data.scan import _voxels
from c2fnas.memory import (
    free_memory,
    is_out_of_memory,
    kernel_kills,
    offer_to_be_killed_first,
    peak_memory,
    trim_memory,
    used_memory,
)


@pytest.mark.parametrize("container", [700, 1 << 62])
def test_the_smaller_one_counts(container: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=5000))
    monkeypatch.setattr(memory, "container_memory", lambda: container)
    assert free_memory() == min(5000, container)


def test_workers_are_as_many_as_the_container_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [write_case(tmp_path, name) for name in "abcd"]
    each = 9 * 11 * 7 * 4 * parallel.VOLUMES_EACH
    for room in (2, 3):
        monkeypatch.setattr(parallel, "free_memory", lambda room=room: int(room * each / parallel.MEMORY_SHARE) + 1)
        assert parallel.bounded_workers(cases, 8, _voxels) == room


GIVEN_BACK_AT_ONCE = """
import numpy as np
from c2fnas.memory import measured, used_memory
print(*measured(lambda: int(np.ones(2**26, np.uint8).sum())), used_memory())
"""


def test_a_measurement_sees_what_is_given_back_at_once() -> None:
    """In a process of its own: one that has trained keeps what it freed, and a measurement then sees less growth."""
    output = subprocess.run([sys.executable, "-c", GIVEN_BACK_AT_ONCE], capture_output=True, text=True, check=True)
    result, grown, used = map(int, output.stdout.split())
    assert result == 2**26
    if sys.platform == "linux":
        assert 0.95 * 2**26 <= grown <= 1.2 * 2**26
    assert grown >= 0.95 * 2**26
    assert used > 2**20


def test_where_the_peak_cannot_be_reset_an_earlier_one_is_not_this_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS; what a window takes would else be what the training before it took."""
    process = {"used": 100, "peak": 900}
    monkeypatch.setattr(memory, "used_memory", lambda device: process["used"])
    monkeypatch.setattr(memory, "peak_memory", lambda device: process["peak"])
    monkeypatch.setattr(memory, "_reset_peak", lambda device: None)
    assert memory.measured(lambda: None) == (None, 0)
    assert memory.measured(lambda: process.update(used=164))[1] == 64
    assert memory.measured(lambda: process.update(peak=1300))[1] == 1300 - 164


def test_without_proc_the_peak_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on macOS, where it can't be reset; it is never too low."""
    monkeypatch.setattr(memory, "STATUS", tmp_path / "none")
    assert peak_memory() >= used_memory() * 0.9
    assert peak_memory() >= 2**26


def accelerator_error(code: int) -> torch.AcceleratorError:
    """The error of a call of CUDA, by its code alone."""
    error = torch.AcceleratorError("CUDA error: see the code")
    error.error_code = code
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("FIND was unable to find an engine to execute this computation"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory"),
        torch.AcceleratorError("CUDA error: out of memory"),
        accelerator_error(code=2),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_lack_of_memory(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("out of memory"),
        RuntimeError("shapes differ"),
        KeyError("memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        accelerator_error(code=700),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
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


def test_a_worker_offers_itself_to_the_kernel_where_there_is_one_to_ask(tmp_path: Path) -> None:
    offer_to_be_killed_first(tmp_path / "oom_score_adj")
    assert (tmp_path / "oom_score_adj").read_text() == "500"
    offer_to_be_killed_first(tmp_path / "no/proc")
    assert not (tmp_path / "no").exists()


def test_memory_is_trimmed_by_the_c_library_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[int]()
    libraries = iter([SimpleNamespace(malloc_trim=asked.append), SimpleNamespace()])
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: next(libraries))
    trim_memory()
    trim_memory()
    assert asked == [0], "musl has no such function"


def test_the_peak_is_never_below_what_is_held() -> None:
    block = np.ones(2**24, np.uint8)
    held = used_memory(torch.device("cpu"))
    del block
    assert peak_memory("cpu:1") >= 0.95 * held


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc")
def test_freed_memory_is_kept_until_it_is_released() -> None:
    """Page by page: without it every use of a large array faults for all of its pages."""
    program = """
import resource, numpy as np
from c2fnas.memory import keep_freed_memory, release_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(1 << 23)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
usual = faults()
keep_freed_memory()
faults()
kept = faults()
release_memory()
print(usual, kept, faults())
"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    usual, kept, released = map(int, output.split())
    assert kept < usual / 10
    assert released > usual / 2
