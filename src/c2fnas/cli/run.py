"""`c2fnas run`: every stage of the method on a data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2fnas.cli.backend import Address, Backend, CpusPerJob, executor_factory
from c2fnas.cli.options import Budget, Devices, FoldCount, Folds, GroupBy, Quiet, Verdict, device_names, fold_choice
from c2fnas.cli.table_1 import table
from c2fnas.cli.verdict_text import verdict_text

if TYPE_CHECKING:
    from c2fnas.data.folds import FoldChoice
    from c2fnas.stages.pipeline import ExecutorFactory, Result


def run(
    dataset: Annotated[Path, typer.Argument(help="The data set's folder or file: MSD, nnU-Net raw, or a CSV.")],
    run: Annotated[Path, typer.Option("--run", help="The run folder; everything of the run is kept there.")],
    budget: Budget = "hour",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    folds: Folds = None,
    fold_count: FoldCount = None,
    group_by: GroupBy = None,
    devices: Devices = "auto",
    backend: Backend = "local",
    address: Address = None,
    cpus_per_job: CpusPerJob = 1,
    verdict: Verdict = None,
    quiet: Quiet = False,
) -> None:
    """Search an architecture on a data set and train it: prepare, coarse, fine, deployment, verdict.

    The verdict says whether the search was worth it: a U-Net of equal multiply-accumulates and the median of the random
    topologies are trained as the found network was, and compared with it case by case.

    Resumable: interrupted at any point (Ctrl-C, power loss), the same command carries on; finished, it says so. To
    stop it from elsewhere, create a file called `stop` in the run folder.

    Examples:

    `c2fnas run Task04_Hippocampus --run runs/hippocampus --budget demo`

    `c2fnas run Task07_Pancreas --run runs/pancreas --budget day --devices cuda:0,cuda:1`

    `c2fnas run CardiacShortAxis --run runs/cardiac --folds random --group-by '(.+)_E[DS]'`
    """
    executor = executor_factory(backend, address, cpus_per_job)
    choice = fold_choice(folds, fold_count, group_by)
    result = run_with_progress(
        dataset,
        run,
        budget,
        seed=seed,
        devices=device_names(devices),
        quiet=quiet,
        executor=executor,
        folds=choice,
        verdict=verdict,
    )
    finish_line(result, run, dataset)


def run_with_progress(
    dataset: Path,
    run: Path,
    budget: str,
    *,
    seed: int,
    devices: tuple[str, ...] = ("cpu",),
    quiet: bool = False,
    executor: "ExecutorFactory | None" = None,
    folds: "FoldChoice | None" = None,
    verdict: bool | None = None,
) -> "Result":
    """The pipeline with progress bars; jobs in local processes, one per device, where no other place is given."""
    from c2fnas.cli.display import Display
    from c2fnas.data.folds import FoldChoice
    from c2fnas.stages.pipeline import run_pipeline

    with Display(quiet=quiet) as display:
        return run_pipeline(
            dataset,
            run,
            budget,
            seed=seed,
            devices=devices,
            reporter=display,
            executor=executor or executor_factory("local"),
            folds=folds or FoldChoice(),
            verdict=verdict,
        )


def finish_line(result: "Result", run: Path, dataset: Path, example_input: Path | None = None) -> None:
    """What was found, how good it is, and where it lies."""
    from c2fnas.space.architecture import Architecture
    from c2fnas.space.drawing import draw_text

    if isinstance(result.architecture, Architecture):
        typer.echo(draw_text(result.architecture))
    typer.echo(result.architecture.to_text())
    typer.echo(_scores(result, dataset))
    if result.verdict is not None:
        typer.echo(verdict_text(result.verdict))
    typer.echo(f"Everything is in {run}; the models are in {run / 'final'}. Next:")
    typer.echo(f"  c2fnas predict {run} --input {example_input or 'IMAGES'} --output PREDICTIONS")


def _scores(result: "Result", dataset: Path) -> str:
    """A line for a single fold; for several the table of their cross-validation."""
    if len(result.folds) > 1:
        from c2fnas.studies.tasks import task_scores

        return table([task_scores(dataset.resolve().name, result)])
    (fold,), (evaluation,) = result.folds, result.evaluations
    scores = ", ".join(f"{name} {dice:.4f}" for name, dice in evaluation.per_class.items() if dice is not None)
    return f"fold-{fold}: Dice {scores}; mean {evaluation.mean:.4f} on {len(evaluation.cases)} validation cases"
