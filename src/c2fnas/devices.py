"""Devices by name: those that ``auto`` stands for, and names that no machine has. torch is imported only if needed."""

import platform
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from c2fnas.errors import UserError

DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
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
    return _gpus()[0] if device == "auto" else refuse_absent(device, "--device")


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
    """Return the devices of a list; those of ``auto`` are every GPU, or else the CPU.

    Raises:
        UserError: a device is unknown, or this machine has no such GPU.
    """
    if devices == "auto":
        return _gpus()
    return tuple(refuse_absent(name, "--devices") for name in list_devices(devices)) or ("cpu",)


def _gpus() -> tuple[str, ...]:
    return tuple(f"cuda:{index}" for index in range(count_gpus())) or ("cpu",)


def count_gpus() -> int:
    """Count the GPUs that PyTorch can use; torch takes seconds to import, and is not where no driver runs.

    The driver counts its GPUs even where it is older than PyTorch's CUDA, which then begins on none of them.
    """
    if not has_driver():
        return 0
    import torch

    if torch.cuda.is_available():
        with suppress(RuntimeError, AssertionError):
            torch.cuda.init()
            return torch.cuda.device_count()
    return 0


def has_driver() -> bool:
    """Tell if a GPU's driver may run here; systems other than Linux are not asked."""
    return sys.platform != "linux" or any(Path(driver).exists() for driver in DRIVERS)


def refuse_absent(device: str, option: str) -> str:
    """Return the name of a device that is there.

    Raises:
        UserError: it is unknown, or this machine has no such GPU.
    """
    refuse_unknown_device(device, option)
    kind, _, index = device.partition(":")
    if kind == "cuda":
        gpus = count_gpus()
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
            return str(torch.cuda.get_device_name(device))
    return f"{processor_name()}, {round(psutil.virtual_memory().total / 2**30)} GiB"


def processor_name() -> str:
    """Return the processor's model, or its architecture where the system tells no more."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()
