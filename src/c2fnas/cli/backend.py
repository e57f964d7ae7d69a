"""Where the jobs of a run are done: processes on this machine, or a Ray cluster."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from c2fnas.cli.options import device_names
from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.execution.executor import Executor

Backend = Annotated[
    Literal["local", "ray"],
    typer.Option("--backend", help="local: a process per device. ray: a Ray cluster, see docs/how-to/cluster.md."),
]
Address = Annotated[
    str | None, typer.Option("--address", help="Of the Ray cluster: `auto`, host:port or ray://host:port.")
]
CpusPerJob = Annotated[
    int, typer.Option("--cpus-per-job", min=1, help="Cores, and so threads, of a job on the Ray cluster.")
]
JobDevices = Annotated[
    str | None, typer.Option("--devices", help="Instead of the run's: a list such as `cuda:0,cuda:1`, or `cpu`.")
]


def executor_factory(
    backend: str, address: str | None = None, cpus_per_job: int = 1, devices: str | None = None
) -> "Callable[[tuple[str, ...]], Executor]":
    """What makes the executor of a run that is configured for some devices.

    Raises:
        UserError: the options contradict each other.
    """
    if backend == "local":
        if address is not None:
            raise UserError("--address names a Ray cluster: give --backend ray as well.")
        return lambda configured: _local(device_names(devices) if devices else configured)
    if devices is not None:
        raise UserError("--devices belongs to --backend local; on a cluster, Ray chooses where a job runs.")
    return lambda configured: _ray(address, cpus_per_job)


def _local(devices: tuple[str, ...]) -> "Executor":
    from c2fnas.execution import LocalProcessExecutor

    return LocalProcessExecutor(devices)


def _ray(address: str | None, cpus: int) -> "Executor":
    from c2fnas.execution.ray import RayExecutor

    return RayExecutor(address, cpus=cpus)
