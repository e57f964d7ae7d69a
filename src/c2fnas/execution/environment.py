"""The environment of a worker process: one device, its share of the cores, the driver's modules."""

import os
import sys

from c2fnas.cores import limited_threads, spin_briefly, usable_cores
from c2fnas.devices import is_amd
from c2fnas.errors import UserError

TOGETHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE")
"""Variables of torchrun, besides those with the prefixes of :data:`TOGETHER_PREFIXES`."""
TOGETHER_PREFIXES = ("TORCHELASTIC_", "ROLE_", "MASTER_")
VISIBLE, VISIBLE_AMD = "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"
"""Variables that name the GPUs of a process; where AMD's driver runs the second counts if it is set, else the first."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def worker_environment(device: str, workers: int) -> dict[str, str]:
    """Return the environment of a worker on ``device``, one of so many that share the cores.

    A limit on threads that the user has set already is kept where it is lower.
    """
    environment = limited_environment(max(1, usable_cores() // workers))
    if is_cuda(device):
        variable = VISIBLE_AMD if os.environ.get(VISIBLE_AMD) and is_amd() else VISIBLE
        entry = visible_device(device, os.environ.get(variable), variable)
        environment |= dict.fromkeys((VISIBLE, variable), entry)
    return environment


def limited_environment(threads: int) -> dict[str, str]:
    """Return this process's environment and modules, for a worker of at most so many threads.

    Under torchrun a worker is none of the processes that train together, and would wait for them for ever.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in TOGETHER and not name.startswith(TOGETHER_PREFIXES)
    }
    for variable in THREAD_VARIABLES:
        environment[variable] = str(limited_threads(variable, threads))
    spin_briefly(environment)
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return environment


def inner_device(device: str) -> str:
    """Return the name of ``device`` inside its worker, which sees no other.

    >>> inner_device("cuda:3"), inner_device("cpu:1")
    ('cuda:0', 'cpu')
    """
    return "cuda:0" if is_cuda(device) else device.partition(":")[0]


def visible_device(device: str, visible: str | None, variable: str = VISIBLE) -> str:
    """Return the entry of ``variable``, whose value is ``visible``, that ``device`` stands for.

    Raises:
        UserError: there are not so many.

    >>> visible_device("cuda:1", None), visible_device("cuda:1", "4,6"), visible_device("cuda:0", "MIG-1f,MIG-2e")
    ('1', '6', 'MIG-1f')
    """
    index = int(device.partition(":")[2] or 0)
    entries = visible.split(",") if visible else [str(each) for each in range(index + 1)]
    if index >= len(entries):
        raise UserError(f"{device}: {variable}={visible} shows {len(entries)} GPUs. Name others by --devices.")
    return entries[index].strip()


def is_cuda(device: str) -> bool:
    """True if ``device`` is a CUDA (or ROCm) device."""
    return device.partition(":")[0] == "cuda"
