"""Devices by name: those that ``auto`` stands for, and names that no machine has. torch is imported only if needed."""

import logging
import os
import platform
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

from c2fnas.errors import UserError

log = logging.getLogger(__name__)
SLICE = "MIG-"
"""The beginning of a slice's name, of a GPU that is divided among several processes."""
AMD = "/dev/kfd"
DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", AMD)
"""Files of which Linux has one, at least, where a GPU's driver runs: NVIDIA's, that of Windows' subsystem, or AMD's."""


def refuse_unknown_device(device: str, option: str = "--device") -> None:
    """Refuse the name of a device that no machine has; torch is not imported.

    Raises:
        UserError: it is not ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
    """
    kind, colon, index = device.partition(":")
    if (kind not in ("cpu", "cuda") and device != "auto") or (colon and not index.isdecimal()):
        raise UserError(f"{option} {device}: unknown device. Use auto, cpu, cuda, or cuda:0, cuda:1, ...")


def find_device(device: str) -> str:
    """Return the device that ``auto`` stands for, the first GPU or else the CPU, or ``device`` itself.

    Raises:
        UserError: it is unknown, or this machine has no such GPU.
    """
    return _gpus(count_gpus())[0] if device == "auto" else _refuse_beyond(count_gpus, device, "--device")


def list_devices(devices: str) -> tuple[str, ...]:
    """Return the names in a list such as ``cuda:0,cuda:1``; none for ``auto``, and torch is not imported.

    Raises:
        UserError: a device is unknown, or a GPU where no driver runs.
    """
    given = () if devices == "auto" else tuple(name.strip() for name in devices.split(",") if name.strip())
    names = tuple("cuda:0" if name == "cuda" else name for name in given)
    if len({*names}) < len(names):
        raise UserError(f"--devices {devices}: a device is named twice. Two jobs at a time on CPU cores: cpu:0,cpu:1.")
    for name in names:
        refuse_unknown_device("auto in a list" if name == "auto" else name, "--devices")
        if not has_driver():
            refuse_absent(name, "--devices")
    return names


def find_devices(devices: str) -> tuple[str, ...]:
    """Return the devices of a list; those of ``auto`` are every GPU that PyTorch has kernels for, or else the CPU.

    Raises:
        UserError: a device is unknown, or this machine has no such GPU.
    """
    if devices == "auto":
        return _gpus(_count_for_workers())
    return tuple(refuse_absent(name, "--devices") for name in list_devices(devices)) or ("cpu",)


def _gpus(count: int) -> tuple[str, ...]:
    """Those of so many GPUs that this PyTorch has kernels for, or else the CPU."""
    return tuple(each for each in (f"cuda:{index}" for index in range(count)) if _has_kernels(each)) or ("cpu",)


def _has_kernels(gpu: str) -> bool:
    """True unless PyTorch was built without kernels for a GPU, which then is told of once; AMD's are not asked."""
    import torch

    with suppress(RuntimeError, AssertionError):  # one that does not answer says why where it is used
        about, built = torch.cuda.get_device_properties(shown_here(gpu)), torch.cuda.get_arch_list()
        able = (about.major, about.minor)
        if torch.version.hip is None and built and not any(_runs_on(each, able) for each in built):
            _warn(
                f"{gpu} ({about.name}, compute capability {about.major}.{about.minor}) is left out: this PyTorch has "
                "no kernels for it. https://pytorch.org/get-started has other builds."
            )
            return False
    return True


def _runs_on(built: str, able: tuple[int, int]) -> bool:
    """True if kernels of a kind run on a GPU of a compute capability; "compute" ones run on later GPUs, too.

    >>> [_runs_on("sm_80", able) for able in ((7, 5), (8, 0), (8, 9), (9, 0))]
    [False, True, True, False]
    >>> _runs_on("compute_80", (12, 0)), _runs_on("sm_90a", (9, 0))
    (True, True)
    """
    kind, _, number = built.partition("_")
    digits = "".join(each for each in number if each.isdecimal())
    if kind not in ("sm", "compute") or not digits:
        return True
    least = divmod(int(digits), 10)
    return able >= least and (kind == "compute" or able[0] == least[0])


@cache
def _warn(text: str) -> None:
    """Say it once in a process."""
    log.warning(text)


def count_gpus() -> int:
    """Count the GPUs that PyTorch can use in one process.

    torch takes seconds to import, and is not where no driver runs. The driver counts its GPUs even where it is older
    than PyTorch's CUDA, which then begins on none of them.
    """
    if not has_driver():
        return 0
    import torch

    if torch.cuda.is_available():
        with suppress(RuntimeError, AssertionError):
            torch.cuda.init()
            return torch.cuda.device_count()
    return 0


def slices() -> list[str]:
    """Return the slices of GPUs that ``CUDA_VISIBLE_DEVICES`` names; none where it names others, or nothing."""
    entries = [each.strip() for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    return entries if all(each.startswith(SLICE) for each in entries) else []


def shown_here(device: str) -> str:
    """Return the name by which this process sees a worker's GPU; of several slices it sees the first alone.

    >>> shown_here("cuda:0"), shown_here("cpu:1")
    ('cuda:0', 'cpu:1')
    """
    return "cuda:0" if device.startswith("cuda") and slices() else device


def _count_for_workers() -> int:
    """Count the GPUs for workers, each of which sees one of them alone: a process sees one slice at most."""
    return max(count, len(slices())) if (count := count_gpus()) else 0


def is_amd() -> bool:
    """True if the driver of AMD's GPUs runs here."""
    return Path(AMD).exists()


def has_driver() -> bool:
    """Tell if a GPU's driver may run here; systems other than Linux are not asked."""
    return sys.platform != "linux" or any(Path(driver).exists() for driver in DRIVERS)


def refuse_absent(device: str, option: str) -> str:
    """Return the name of a worker's device that is there.

    Raises:
        UserError: it is unknown, or this machine has no such GPU.
    """
    return _refuse_beyond(_count_for_workers, device, option)


def _refuse_beyond(count: Callable[[], int], device: str, option: str) -> str:
    """The name of a device, a GPU among so many."""
    refuse_unknown_device(device, option)
    kind, _, index = device.partition(":")
    if kind == "cuda":
        gpus = count()
        if int(index or 0) >= gpus:
            raise UserError(
                f"{option} {device}: this machine shows {gpus} GPUs to PyTorch. Use auto for what is there."
            )
    return device


def hardware_name(device: str) -> str:
    """Return the GPU's name, or the processor's with the machine's memory.

    Unlike a host's name, which every container has anew, it says what a measurement holds for.
    """
    if device.startswith("cuda") and has_driver():
        import torch

        with suppress(RuntimeError, AssertionError):  # the driver of a cluster may have no GPU
            return str(torch.cuda.get_device_name(shown_here(device)))
    return f"{processor_name()}, {round(psutil.virtual_memory().total / 2**30)} GiB"


def processor_name() -> str:
    """Return the processor's model, or its architecture where the system tells no more."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()
