"""The hardware, limits and folders of this machine, as ``c2fnas doctor`` tells of them."""

import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path

import psutil

from c2fnas.api.doctor import Fact
from c2fnas.cgroups import UNLIMITED, container_memory
from c2fnas.cores import usable_cores, usable_threads
from c2fnas.devices import count_gpus, has_driver, processor_name
from c2fnas.memory import free_memory

GB, LEAST_FREE = 1e9, 2e9
LEAST_FILES = 256
"""Files that may be open at once: what macOS allows by itself, with which everything here works."""
VARIABLES = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTORCH_CUDA_ALLOC_CONF")
PERSONAL = ("PYTHONPATH", "TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME")
"""Variables whose values are folders; only that they are set is told."""


def processor() -> list[Fact]:
    """Return the processor, its cores that may be used, and the main memory."""
    import torch

    memory, container = psutil.virtual_memory(), container_memory()
    free = f"{_size(memory.total)}, {_size(free_memory())} of it free"
    limited = "" if container == UNLIMITED else f"; this container may take {_size(container)} more"
    low = free_memory() < LEAST_FREE
    fault = "little memory is free. Close other programs, or give the container more." if low else ""
    return [
        Fact("model", processor_name()),
        Fact("cores", f"{usable_cores()} of {os.cpu_count()} may be used, {usable_threads()} threads compute"),
        Fact("instructions", torch.backends.cpu.get_cpu_capability()),
        Fact("memory", free + limited, fault),
    ]


def devices() -> list[Fact]:
    """Return every device that networks can be trained on, with its memory, its precision and a first step."""
    facts = [Fact("cpu", f"precision {_precision('cpu')}", _step("cpu"))]
    for index in range(count_gpus()):
        facts.append(_gpu(index))
    if len(facts) == 1 and has_driver() and sys.platform == "linux":
        fault = (
            "a driver runs here, but PyTorch sees no GPU: its build is for the CPU alone, or for a newer driver. "
            "`pip install torch` as https://pytorch.org/get-started says for this driver."
        )
        return [*facts, Fact("GPU", "none that PyTorch sees", fault)]
    return facts


def _gpu(index: int) -> Fact:
    """A GPU; one that answers nothing, such as one that is full or another process's alone, is a fault."""
    import torch

    name = f"cuda:{index}"
    try:
        about, (free, total) = torch.cuda.get_device_properties(index), torch.cuda.mem_get_info(index)
        ability = f"compute capability {about.major}.{about.minor}"
        memory = f"{_size(total)}, {_size(free)} of it free"
        text = f"{about.name}, {ability}, {memory}, precision {_precision(name)}"
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Fact(name, "does not answer", f"{reason}. Free its memory, or see whether another process has it alone.")
    return Fact(name, text, _step(name))


def limits() -> list[Fact]:
    """Return what the system lets a process have."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[0] if hasattr(resource, "RLIMIT_NPROC") else -1
    fault = f"fewer than {LEAST_FILES} may be open at once. `ulimit -n {4 * LEAST_FILES}` allows more."
    shared = Path("/dev/shm")
    return [
        Fact("open files", _count(files), fault if 0 <= files < LEAST_FILES else ""),
        Fact("processes", _count(processes)),
        Fact("shared memory", _size(shutil.disk_usage(shared).total) if shared.is_dir() else "none"),
    ]


def folders(runs: Path) -> list[Fact]:
    """Return whether the folders that c2fnas and its libraries write to can be written to, and what is free there."""
    import torch

    remedy = "Set {} to a folder that you may write to."
    caches = {
        "temporary files": (Path(tempfile.gettempdir()), remedy.format("TMPDIR")),
        "Matplotlib's cache": (_matplotlib_cache(), remedy.format("MPLCONFIGDIR")),
        "PyTorch's cache": (Path(torch.hub.get_dir()).parent, remedy.format("XDG_CACHE_HOME")),
    }
    return [_runs(runs), *(_folder(name, *where) for name, where in caches.items())]


def environment() -> list[Fact]:
    """Return the variables that change how networks are computed."""
    told = [Fact(name, os.environ[name]) for name in VARIABLES if name in os.environ]
    return told + [Fact(name, "is set") for name in PERSONAL if name in os.environ]


def _precision(device: str) -> str:
    from c2fnas.training.precision import resolve_precision

    return resolve_precision("auto", device)


def _step(device: str) -> str:
    """Return the reason why a small network can't be trained on the device; an empty text where it can."""
    import torch

    from c2fnas.networks import build_network
    from c2fnas.space.architecture import Architecture

    types = {"bf16": torch.bfloat16, "fp16": torch.float16}
    try:
        network = build_network(Architecture.from_text("0:2D 1:P3D 1:3D 0:3D @0.25"), in_channels=1, classes=2)
        network.to(device)
        precision = _precision(device)
        kind = device.partition(":")[0]
        with torch.autocast(kind, types.get(precision), enabled=precision in types):
            loss = network(torch.ones(1, 1, 16, 16, 16, device=device)).square().mean()
        loss.backward()
        assert torch.isfinite(loss), "the loss is not finite"
    except (RuntimeError, AssertionError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = lines[0].partition(". ")[0]
        return f"a small network cannot be trained on it ({reason}). Reinstall PyTorch for this device."
    return ""


def _runs(folder: Path) -> Fact:
    """Return whether a run can lie in a folder: it is written to and locked there."""
    from filelock import FileLock, Timeout

    found = _folder("runs", folder, "Choose another folder for runs.")
    if found.fault:
        return found
    try:
        with (
            tempfile.TemporaryDirectory(dir=folder) as place,
            FileLock(Path(place) / "lock", timeout=10, fallback_to_soft=False),
        ):
            return Fact(found.name, f"{found.value}; files can be locked")
    except (OSError, Timeout, NotImplementedError) as error:
        fault = f"files cannot be locked there ({type(error).__name__}). Choose a folder on a disk with file locks."
        return Fact(found.name, found.value, fault)


def _folder(name: str, folder: Path, remedy: str) -> Fact:
    """Return whether a folder, or the one that it would be made in, can be written to."""
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=place) as file:
            file.write(b"1")
            file.flush()
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Fact(name, "cannot be written to", f"cannot be written to ({error.strerror}). {remedy}")
    return Fact(name, f"can be written to, {_size(free)} free", f"hardly any room. {remedy}" if free < GB else "")


def _matplotlib_cache() -> Path:
    """Return the folder that Matplotlib takes, which is not imported: where it can't be written, it takes another."""
    configured = os.environ.get("MPLCONFIGDIR")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # a user may have no home
    return Path(configured) if configured else cache / "matplotlib"


def _count(limit: int) -> str:
    return "no limit" if limit in (-1, resource.RLIM_INFINITY) else f"{limit:,}"


def _size(count: float) -> str:
    return f"{count / GB:.1f} GB"
