"""Threads of a training on a CPU: of one process, and of one among several under torchrun."""

from types import SimpleNamespace

import pytest
import torch

from c2fnas.training import device


@pytest.mark.parametrize(
    ("cores", "processes", "limit", "threads"),
    [
        (16, 1, None, 16),
        (16, 1, "8", 8),
        (16, 2, None, 8),
        (16, 2, "8", 8),  # of each process, as torchrun hands it on
        (16, 2, "12", 8),
        (16, 4, "1", 1),
        (2, 4, None, 1),
    ],
)
def test_threads_are_a_share_of_the_cores_and_no_more_than_asked_for(
    monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, limit: str | None, threads: int
) -> None:
    taken = []
    monkeypatch.setattr(device, "usable_cores", lambda: cores)
    monkeypatch.setattr(device, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    device.use_threads(SimpleNamespace(device=torch.device("cpu")))
    assert taken == [threads]
