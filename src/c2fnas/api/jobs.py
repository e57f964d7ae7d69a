"""The place where the jobs of a run are done: processes on this machine, or a Ray cluster."""

from typing import TYPE_CHECKING, Literal, TypedDict

from c2fnas.api.options import refuse_below
from c2fnas.devices import find_devices, list_devices
from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.execution.executor import Executor
    from c2fnas.runs.run import ExecutorFactory


class Devices(TypedDict, total=False):
    """The devices of this machine that networks are trained on.

    Attributes:
        devices: `auto` (every GPU, else the CPU), or a list such as `cuda:0,cuda:1`; by default those that the run was
            begun with, at first `auto`. `cpu:0,cpu:1` shares the cores among two jobs at a time, which is faster with
            small patches; which of them ends first may then decide what is tried next.
    """

    devices: str


class Jobs(Devices, total=False):
    """Options of every function that trains networks.

    Attributes:
        backend: local: a process per device. ray: a Ray cluster, which takes `c2fnas[ray]`.
        address: Of the Ray cluster: `auto`, host:port or ray://host:port.
        cpus_per_job: Cores, and so threads, of a job on the Ray cluster.
    """

    backend: Literal["local", "ray"]
    address: str
    cpus_per_job: int


def executor_factory(jobs: Jobs) -> "ExecutorFactory":
    """Return the function that makes an executor for the devices of a run.

    Raises:
        UserError: options contradict each other, or a device has no name that there is.
    """
    devices, address, cpus = jobs.get("devices"), jobs.get("address"), jobs.get("cpus_per_job", 1)
    refuse_below(1, cpus_per_job=cpus)
    if jobs.get("backend", "local") == "local":
        if address is not None:
            raise UserError("--address names a Ray cluster: give --backend ray as well.")
        list_devices(devices or "auto")
        return lambda configured: _local(find_devices(devices) if devices else configured)
    if devices is not None:
        raise UserError("--devices belongs to --backend local; on a cluster, Ray chooses where a job runs.")
    return lambda configured: _ray(address, cpus, configured)


def refuse_beside_torchrun(jobs: Jobs, processes: int) -> None:
    """Refuse options for what torchrun has decided: it has started the processes, and each takes the GPU of its number.

    Args:
        jobs: the options.
        processes: those of torchrun on this machine.

    Raises:
        UserError: they ask for a Ray cluster, or for other GPUs.
    """
    if jobs.get("backend") == "ray":
        raise UserError("--backend ray: torchrun has started the processes already. Leave one of the two out.")
    devices = jobs.get("devices", "auto")
    names = () if devices in ("auto", "cuda") else find_devices(devices)
    gpus = [name.partition(":")[2] for name in names if name.startswith("cuda")]
    if gpus and names != tuple(f"cuda:{number}" for number in range(processes)):
        raise UserError(
            f"--devices {devices}: under torchrun, each process takes the GPU of its number on the machine. Leave "
            f"--devices out, and name GPUs before the command: CUDA_VISIBLE_DEVICES={','.join(gpus)} torchrun "
            f"--nproc-per-node {len(gpus)} ..."
        )


def _local(devices: tuple[str, ...]) -> "Executor":
    from c2fnas.execution import LocalProcessExecutor

    return LocalProcessExecutor(devices)


def _ray(address: str | None, cpus: int, configured: tuple[str, ...]) -> "Executor":
    """Jobs of a run that was prepared for a GPU take one, though the cluster may have none yet."""
    from c2fnas.execution.ray import RayExecutor

    gpus = 1.0 if any(device.startswith("cuda") for device in configured) else None
    return RayExecutor(address, cpus=cpus, gpus=gpus)
