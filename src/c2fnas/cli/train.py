"""`c2fnas train`: an architecture on a data set, or on every data set of a folder."""

import json as json_format
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from c2fnas.cli.options import Devices, Quiet, device_names
from c2fnas.cli.run import finish_line
from c2fnas.cli.table_1 import table
from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.networks.designs import Design
    from c2fnas.planning.train_wish import Wish
    from c2fnas.stages.pipeline import Result
    from c2fnas.studies.tasks import TaskScores

SOME_FAILED = 1


def train(
    dataset: Annotated[
        Path, typer.Argument(help="The data set's folder or file: MSD, nnU-Net raw, or a CSV; or a folder of several.")
    ],
    run: Annotated[
        Path,
        typer.Option(
            "--run", help="The run folder: a new one, or that of a search on this data; of several, one for each in it."
        ),
    ],
    architecture: Annotated[
        str | None,
        typer.Option(
            "--architecture", "-a", help="A name (`c2fnas-panc`), a JSON file, a run or model folder, or text."
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="Instead, a network to compare with: unet3d, vnet, voxresnet, resdsn, attention_unet, dynunet, "
            "segresnet or dints."
        ),
    ] = None,
    width: Annotated[float | None, typer.Option(help="Multiplies every filter count; default: as it is.")] = None,
    folds: Annotated[str, typer.Option(help="`all`, `last`, or numbers such as `0,2`.")] = "last",
    budget: Annotated[
        str | None,
        typer.Option(help="demo, hour (the default), day, paper, or a YAML file; its time goes to these folds alone."),
    ] = None,
    recipe: Annotated[Literal["paper", "modern"] | None, typer.Option(help="Instead of the budget's recipe.")] = None,
    precision: Annotated[
        Literal["fp32", "bf16", "fp16"] | None, typer.Option(help="Instead of what the device computes fast.")
    ] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Instead of what the budget gives.")] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A model to fine-tune, or one that comes with c2fnas (`hippocampus/fold-0`); on other channels or "
            "classes what fits.",
        ),
    ] = None,
    extend: Annotated[
        int | None, typer.Option(min=1, help="Train on from a finished run, to so many iterations in all.")
    ] = None,
    validate_every: Annotated[
        int | None, typer.Option(min=1, help="Iterations between validations on whole volumes, for the curve.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random; default: 0, or the run's.")] = None,
    label_tests: Annotated[
        bool,
        typer.Option(
            "--label-tests",
            help="Then label the data set's test images (imagesTs) by majority vote of all folds trained so far, into "
            "predictions in the run folder.",
        ),
    ] = False,
    devices: Devices = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print Dice per class and fold as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train an architecture on a data set, a model for each of the folds, without a search.

    Resumable: interrupted at any point, by Ctrl-C or by a file called `stop` in the run folder, the same command
    carries on; finished, it says so. Of several folds it prints the mean over their validation cases and how they
    differ, and leaves both in table-1.json. In the folder of a search on the same data, `--folds all` trains the found
    architecture on the other folds too. Under torchrun the processes share every fold's batches.

    In a folder of several data sets, such as the Decathlon's tasks, each is trained in a folder of its own in --run
    and has a budget's time for itself; one that fails is told of, the others go on, and the exit code is 1 at the end.
    The table over tasks and classes (the paper's Table 1, on the validation cases of the folds) goes to table-1.json.

    Examples:

    `c2fnas train Task09_Spleen --architecture c2fnas-panc --run runs/spleen --folds all`

    `c2fnas train Task09_Spleen --network unet3d --run runs/spleen-unet --budget hour`

    `c2fnas train Task09_Spleen --from runs/pancreas/final/fold-4/model --run runs/tuned --iterations 2000`

    `c2fnas train Task09_Spleen --run runs/spleen --folds all --extend 4000`

    `c2fnas train Decathlon -a c2fnas-panc --run runs/decathlon --folds all --label-tests`

    `torchrun --nproc-per-node 8 -m -- c2fnas train Task07_Pancreas -a c2fnas-panc --run runs/pancreas`
    """
    from c2fnas.planning.train_wish import Wish
    from c2fnas.studies.tasks import datasets_in, keep_table, table_1, task_scores

    wish = Wish(
        architecture=_design(architecture, network, width, run),
        start=_package(start),
        folds=folds,
        budget=budget,
        recipe=recipe,
        precision=precision,
        iterations=iterations,
        extend=extend,
        validate_every=validate_every,
        seed=seed,
    )
    several = datasets_in(dataset)
    if several:
        rows = _train_all(several, run, wish, devices, quiet, label_tests)
    else:
        result = _train(dataset, run, wish, devices, quiet, label_tests)
        if not result.models:  # under torchrun, one process speaks
            return
        rows = (task_scores(dataset.resolve().name, result),)
        if len(result.folds) > 1:
            keep_table(rows, run)
    if json:
        typer.echo(json_format.dumps(table_1(rows), indent=2))
    elif several:
        _print(rows, run)
    else:
        finish_line(result, run, dataset)
    if any(row.failure is not None for row in rows):
        raise typer.Exit(SOME_FAILED)


def _train(dataset: Path, run: Path, wish: "Wish", devices: str, quiet: bool, label_tests: bool) -> "Result":
    from c2fnas.cli.display import Display
    from c2fnas.execution import LocalProcessExecutor
    from c2fnas.stages.train import train_architecture
    from c2fnas.studies.label_test import label_test_images
    from c2fnas.training.device import ranks

    rank, world = ranks()
    with Display(quiet=quiet or rank > 0) as display:
        names = device_names(devices)
        if world > 1:
            from c2fnas.stages.train_together import train_together

            result = train_together(dataset, run, wish, kind=names[0].partition(":")[0], reporter=display)
        else:
            result = train_architecture(
                dataset, run, wish, devices=names, executor=LocalProcessExecutor, reporter=display
            )
        if label_tests and result.models:
            label_test_images(dataset, run, names[0], display)
    return result


def _train_all(
    datasets: Sequence[Path], run: Path, wish: "Wish", devices: str, quiet: bool, label_tests: bool
) -> "tuple[TaskScores, ...]":
    from c2fnas.cli.display import Display
    from c2fnas.execution import LocalProcessExecutor
    from c2fnas.studies.tasks import train_all
    from c2fnas.training.device import ranks

    if ranks()[1] > 1:
        raise UserError(f"{datasets[0].parent}: several data sets. Under torchrun, name one of them at a time.")
    with Display(quiet=quiet) as display:
        return train_all(
            datasets,
            run,
            wish,
            devices=device_names(devices),
            executor=LocalProcessExecutor,
            reporter=display,
            label_tests=label_tests,
        )


def _print(rows: "Sequence[TaskScores]", run: Path) -> None:
    from c2fnas.studies.tasks import TABLE

    typer.echo(table(rows))
    typer.echo(f"Everything is in {run}, the table in {run / TABLE}.")


def _design(text: str | None, network: str | None, width: float | None, run: Path) -> "Design | None":
    """What is asked for; with a width alone, the run's own in that width."""
    if text is None and network is None and width is None:
        return None
    if text is not None and network is not None:
        raise UserError("Give --architecture or --network, one of the two.")
    try:
        design = _asked(text, network, run)
        return design if width is None else replace(design, width=width)
    except ValueError as error:
        raise UserError(f"train: {error}.") from error


def _asked(text: str | None, network: str | None, run: Path) -> "Design":
    from c2fnas.inference.pretrained import with_design
    from c2fnas.networks.baselines import Baseline
    from c2fnas.networks.designs import has_design, read_design
    from c2fnas.runs.folder import RunFolder
    from c2fnas.space.architecture import Architecture

    if network is not None:
        return Baseline(network)
    final = RunFolder(run).final
    if text is None and has_design(final):
        return read_design(final)
    return Architecture.load(with_design(text) if text is not None else run)


def _package(path: Path | None) -> Path | None:
    """The one model package that a path stands for."""
    if path is None:
        return None
    from c2fnas.cli.predict import model_folders

    packages = model_folders([path])
    if len(packages) > 1:
        raise UserError(f"--from {path}: {len(packages)} models. Name one of them, such as {packages[0]}.")
    return packages[0]
