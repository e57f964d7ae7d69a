"""The device of a training: Fabric for one process or for those that torchrun has started, and the threads of a CPU."""

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import torch

from c2fnas.cores import limited_threads, usable_cores
from c2fnas.devices import find_device
from c2fnas.memory import keep_freed_memory
from c2fnas.training.precision import precision_plugin

if TYPE_CHECKING:
    from lightning_fabric import Fabric  # a third of what a driver imports, which trains nothing itself

PATIENCE = timedelta(hours=12)
"""The longest that processes wait for each other: one may prepare or evaluate a data set meanwhile. torchrun notices at
once if one dies."""


def ranks() -> tuple[int, int]:
    """Return the rank of this process and the number of processes; ``(0, 1)`` outside of torchrun."""
    if not (torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()):
        return 0, 1
    from lightning_fabric.plugins.environments import TorchElasticEnvironment

    environment = TorchElasticEnvironment()
    return environment.global_rank(), environment.world_size()


def local_processes() -> int:
    """Return the number of processes that torchrun has started on this machine; 1 outside of it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def local_device(kind: str) -> str:
    """Return the device of this process among those that torchrun has started on this machine.

    >>> local_device("cpu")
    'cpu'
    """
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if kind == "cuda" else kind


def make_fabric(device: str, precision: str) -> "Fabric":
    """Make Fabric on ``device`` ("auto", "cpu", "cuda", "cuda:1"); under torchrun on this rank's device of that kind.

    Processes share gradients in :mod:`c2fnas.training.step`, not by DistributedDataParallel (docs/decisions/0011).
    """
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
    from lightning_fabric.strategies import DDPStrategy

    kind, _, index = (find_device(device) if device == "auto" else device).partition(":")
    plugin = precision_plugin(precision, kind)
    if ranks()[1] == 1:
        devices = [int(index)] if index and kind == "cuda" else 1
        # Without an environment of its own Fabric would take the number of a Slurm job's tasks.
        return Fabric(accelerator=kind, devices=devices, plugins=[plugin, LightningEnvironment()])
    fabric = Fabric(
        accelerator=kind,
        devices=local_processes(),
        num_nodes=ranks()[1] // local_processes(),
        strategy=DDPStrategy(timeout=PATIENCE),
        plugins=[plugin, TorchElasticEnvironment()],
    )
    fabric.launch()
    return fabric


def use_threads(fabric: "Fabric") -> int:
    """Set torch's threads to those of the device and return their number; prepare the device for equal iterations."""
    if fabric.device.type == "cpu":
        keep_freed_memory()
        share = max(1, usable_cores() // local_processes())
        torch.set_num_threads(limited_threads("OMP_NUM_THREADS", share))  # the limit is each process's own
    else:
        torch.backends.cudnn.benchmark = True  # patches are of one size: the search for kernels pays
    return torch.get_num_threads()
