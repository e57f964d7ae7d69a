"""`c2fnas verdict`: whether a search was worth it."""

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from c2fnas.cli.backend import Address, Backend, CpusPerJob, JobDevices, executor_factory
from c2fnas.cli.options import Quiet
from c2fnas.cli.verdict_text import verdict_text


def verdict(
    run: Annotated[Path, typer.Argument(help="The run folder of a search whose final networks are trained.")],
    backend: Backend = "local",
    address: Address = None,
    cpus_per_job: CpusPerJob = 1,
    devices: JobDevices = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Say whether the searched network is better than networks that need no search.

    A U-Net of equal multiply-accumulates and the median of the random topologies of the coarse stage are trained as the
    found network was: same recipe, folds, seed. Their Dice is compared with its own, case by case, with a paired
    bootstrap interval over cases, or over the groups that the run was divided by. "No gain shown" is an ordinary
    answer. `c2fnas run` does the same at its end; here it is done for runs that left it out, and shown again. It comes
    before `train --extend`. Resumable; it goes to verdict/verdict.json in the run folder.

    Examples:

    `c2fnas verdict runs/pancreas`

    `c2fnas verdict runs/pancreas --json`
    """
    from c2fnas.cli.display import Display
    from c2fnas.stages.pipeline import on_run
    from c2fnas.studies.verdict import give_verdict

    executor = executor_factory(backend, address, cpus_per_job, devices)
    with Display(quiet=quiet) as display:
        found = on_run(run, give_verdict, executor=executor, reporter=display)
    typer.echo(json_format.dumps(found.to_json(), indent=2) if json else verdict_text(found))
