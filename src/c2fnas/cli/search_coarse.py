"""`c2fnas search coarse`: the topology, by Algorithm 1 or another sampler."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2fnas.cli.backend import Address, Backend, CpusPerJob, JobDevices, executor_factory
from c2fnas.cli.options import Quiet
from c2fnas.cli.predict import parse_bytes

if TYPE_CHECKING:
    from c2fnas.execution.executor import Executor
    from c2fnas.runs.reporter import Reporter
    from c2fnas.runs.run import Setting
    from c2fnas.space.architecture import Architecture


def coarse(
    run: Annotated[Path, typer.Option("--run", help="A prepared run folder.")],
    sampler: Annotated[
        str | None,
        typer.Option(
            help="algorithm1 (the paper), surrogate, random, regularised-evolution, Optuna's optuna-random, tpe, gp, "
            "or your own as module:name."
        ),
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(min=1, help="How many topologies to train; the paper's 50.")
    ] = None,
    max_parameters: Annotated[
        float | None, typer.Option(min=1, help="Parameters that a candidate may have, e.g. 20e6.")
    ] = None,
    max_macs: Annotated[
        float | None, typer.Option(min=1, help="Multiply-accumulates of one patch that it may take, e.g. 5e9.")
    ] = None,
    max_memory: Annotated[
        str | None, typer.Option(help="Memory that its training may take, such as 8G, as predicted before it starts.")
    ] = None,
    early_stopping: Annotated[
        bool | None,
        typer.Option("--early-stopping/--no-early-stopping", help="Stop candidates that are behind at a rung."),
    ] = None,
    backend: Backend = "local",
    address: Address = None,
    cpus_per_job: CpusPerJob = 1,
    devices: JobDevices = None,
    quiet: Quiet = False,
) -> None:
    """Search the topology with Algorithm 1 (paper 3.3). Resumable; finished, it prints what it found.

    Sampler, limits and early stopping are written to run.yaml before the stage begins, and fixed from then on; until
    then `inf` lifts a limit.

    Examples:

    `c2fnas search coarse --run runs/hippocampus`

    `c2fnas search coarse --run runs/hippocampus --sampler tpe --max-macs 2e9 --early-stopping`

    `c2fnas search coarse --run /shared/pancreas --backend ray --address auto`
    """
    from c2fnas.cli.display import Display
    from c2fnas.space.drawing import draw_text
    from c2fnas.stages.coarse_wish import CoarseWish, with_coarse_wish
    from c2fnas.stages.pipeline import coarse_stage, on_run

    wish = CoarseWish(
        sampler=sampler,
        evaluations=evaluations,
        max_parameters=max_parameters,
        max_macs=max_macs,
        max_memory=_bytes_or_inf(max_memory),
        early_stopping=early_stopping,
    )

    def stage(setting: "Setting", executor: "Executor", reporter: "Reporter") -> "Architecture":
        return coarse_stage(with_coarse_wish(setting, wish), executor, reporter)

    executor = executor_factory(backend, address, cpus_per_job, devices)
    with Display(quiet=quiet) as display:
        found = on_run(run, stage, executor=executor, reporter=display)
    typer.echo(draw_text(found))
    typer.echo(found.to_text())


def _bytes_or_inf(text: str | None) -> float | None:
    if text is None:
        return None
    return math.inf if text.strip().lower() == "inf" else parse_bytes(text)
