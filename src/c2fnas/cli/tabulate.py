"""`c2fnas tabulate`: a table of topologies, trained in one small setting."""

from pathlib import Path
from typing import Annotated

import typer

from c2fnas.cli.backend import Address, Backend, CpusPerJob, JobDevices, executor_factory
from c2fnas.cli.options import Quiet


def tabulate(
    run: Annotated[Path, typer.Option("--run", help="A prepared run folder; its data and plan are taken.")],
    table: Annotated[Path, typer.Option("--table", help="The CSV file; what it holds already is not trained again.")],
    per_cluster: Annotated[int, typer.Option(min=1, help="Topologies of each of the 8 clusters.")] = 12,
    repeated: Annotated[int, typer.Option(min=0, help="So many of each cluster are trained with several seeds.")] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of those, which tell how noisy the table is.")] = 3,
    most: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many trainings; the next call goes on.")
    ] = None,
    backend: Backend = "local",
    address: Address = None,
    cpus_per_job: CpusPerJob = 1,
    devices: JobDevices = None,
    quiet: Quiet = False,
) -> None:
    """Train many topologies in one small setting and keep what each comes to, for `c2fnas simulate`.

    Resumable; a larger --per-cluster extends a table. What the numbers depend on is written beside it as JSON.

    Examples:

    `c2fnas tabulate --run runs/hippocampus --table topologies.csv`

    `c2fnas tabulate --run runs/hippocampus --table topologies.csv --per-cluster 24 --devices cuda:0,cuda:1`
    """
    from c2fnas.bench import planned_trainings, read_table
    from c2fnas.cli.display import Display
    from c2fnas.runs.folder import RunFolder
    from c2fnas.runs.lock import RunLock
    from c2fnas.runs.run import Setting
    from c2fnas.studies.tabulate import tabulate

    setting = Setting.load(run)
    trainings = planned_trainings(setting.config.space, per_cluster=per_cluster, repeated=repeated, seeds=seeds)
    known = {row.key for row in (read_table(table) if table.exists() else ())}
    missing = [training for training in trainings if training[1:] not in known]
    executor = executor_factory(backend, address, cpus_per_job, devices)
    with RunLock(run), Display(quiet=quiet) as display, executor(setting.config.devices) as workers:
        RunFolder(run).clear_stop()
        rows = tabulate(setting, table, missing[:most], workers, display)
    left = len(missing) - len(missing[:most])
    typer.echo(
        f"{table}: {len(rows)} trainings of {len({row.topology for row in rows})} topologies; {left} are missing."
    )
