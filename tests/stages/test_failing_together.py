"""A process that fails under torchrun ends, though the others have not."""

import atexit
import os
from pathlib import Path

import processes
import pytest
import torch

from c2fnas.runs.run import Run
from c2fnas.stages.together import _together
from c2fnas.training.device import ranks

WAITED = 9


def fail(run: Path) -> None:
    with _together(Run(run), "cpu") as both:
        both.fabric.barrier()
        raise RuntimeError("a disk that is full")


def fail_in_the_first(run: Path) -> None:
    """Fail in one of two processes, where Fabric has each take leave of the others as it does on GPUs."""
    from lightning_fabric.utilities.distributed import _destroy_dist_connection

    atexit.register(_destroy_dist_connection)
    torch.distributed.destroy_process_group = lambda: os._exit(WAITED)  # with NCCL it would wait for all others
    if ranks()[0]:
        with _together(Run(run), "cpu") as both:
            both.fabric.barrier()
        torch.distributed.destroy_process_group = lambda: None
    else:
        with pytest.raises(RuntimeError, match="a disk"):
            fail(run)
    atexit._run_exitfuncs()  # which a process of `multiprocessing` leaves out


def test_a_process_that_fails_does_not_wait_for_the_others(tmp_path: Path) -> None:
    assert processes.together(2, fail_in_the_first, tmp_path / "run") == [0, 0]
