"""`c2fnas ablate`: what each stage and each data set of the search was good for (Table 3)."""

import json as json_format
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2fnas.cli.backend import Address, Backend, CpusPerJob, JobDevices, executor_factory
from c2fnas.cli.options import Quiet
from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.execution.executor import Executor
    from c2fnas.runs.reporter import Reporter
    from c2fnas.runs.run import Setting
    from c2fnas.space.architecture import Architecture
    from c2fnas.stages.pipeline import ExecutorFactory
    from c2fnas.studies.ablation import Column


def ablate(
    runs: Annotated[list[Path], typer.Argument(help="Run folders: of searches, or prepared for their data alone.")],
    architecture: Annotated[
        list[str] | None,
        typer.Option(
            "--architecture",
            "-a",
            help="A further one to compare: a name, a JSON file, a run folder or text; may be repeated.",
        ),
    ] = None,
    folds: Annotated[str, typer.Option(help="`all`, `last`, or numbers such as `0,2`.")] = "all",
    backend: Backend = "local",
    address: Address = None,
    cpus_per_job: CpusPerJob = 1,
    devices: JobDevices = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Compare coarse winners (3D everywhere), fine winners, and what was found on other data (paper 5.1, 5.2).

    Everything that the runs have found is trained on every run's data set, from scratch, fold by fold, with that run's
    final recipe, plan and width. `C-` is a coarse winner, `F-` a fine one. Resumable; final networks that are the same
    trainings are not trained again. The table goes to ablation/table-3.json in the first run as soon as a data set is
    done, with the difference of each two over the same cases and its paired bootstrap interval.

    Examples:

    `c2fnas ablate runs/pancreas`

    `c2fnas ablate runs/pancreas runs/lung --folds all --devices cuda:0,cuda:1`

    `c2fnas ablate runs/hippocampus -a c2fnas-panc --folds last --json`
    """
    from c2fnas.cli.ablation_text import in_words
    from c2fnas.cli.display import Display
    from c2fnas.studies.ablation import contenders, refuse_unfit
    from c2fnas.studies.ablation_table import write_table_3

    candidates = contenders(runs, _further(architecture or []))
    executor = executor_factory(backend, address, cpus_per_job, devices)
    refuse_unfit(runs, folds)
    columns: list[Column] = []
    with Display(quiet=quiet) as display:
        for run in runs:
            columns.append(_column(run, candidates, folds, executor, display))
            table = write_table_3(columns, runs[0])  # after each, so that a later one can't lose it
    typer.echo(json_format.dumps(table, indent=2) if json else in_words(table))


def _column(
    run: Path, candidates: "dict[str, Architecture]", folds: str, executor: "ExecutorFactory", reporter: "Reporter"
) -> "Column":
    from c2fnas.planning.train_wish import chosen_folds
    from c2fnas.stages.pipeline import on_run
    from c2fnas.studies.ablation import ablate as trained

    def stage(setting: "Setting", workers: "Executor", reporter: "Reporter") -> "Column":
        chosen = chosen_folds(folds, len(setting.folds))
        reporter.say(f"{setting.config.dataset}: {len(candidates)} architectures on {len(chosen)} folds")
        return trained(setting, workers, reporter, candidates=candidates, folds=chosen)

    return on_run(run, stage, executor=executor, reporter=reporter)


def _further(given: list[str]) -> "dict[str, Architecture]":
    """The architectures of ``--architecture``: a file by its own name, or as it was given where another has that name.

    Raises:
        UserError: one is none, or is given twice.
    """
    from c2fnas.space.architecture import Architecture

    repeated = [text for text, times in Counter(given).items() if times > 1]
    if repeated:
        raise UserError(f"--architecture {repeated[0]}: given twice. Leave one out.")
    stems = Counter(map(_short, given))
    return {_short(text) if stems[_short(text)] == 1 else text: Architecture.load(text) for text in given}


def _short(text: str) -> str:
    path = Path(text)
    return path.stem if path.suffix == ".json" else text
