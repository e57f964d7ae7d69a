"""`c2fnas prepare`: everything before the first network."""

from pathlib import Path
from typing import Annotated

import typer

from c2fnas.cli.options import Budget, Devices, FoldCount, Folds, GroupBy, Quiet, device_names, fold_choice


def prepare(
    dataset: Annotated[Path, typer.Argument(help="The data set's folder or file: MSD, nnU-Net raw, or a CSV.")],
    run: Annotated[Path, typer.Option("--run", help="The run folder; everything of the run is kept there.")],
    budget: Budget = "hour",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    plan_only: Annotated[
        bool, typer.Option("--plan-only", help="Stop after plan.yaml, to edit it before the run.")
    ] = False,
    folds: Folds = None,
    fold_count: FoldCount = None,
    group_by: GroupBy = None,
    devices: Devices = "auto",
    quiet: Quiet = False,
) -> None:
    """Check, fingerprint, plan and preprocess a data set once; `c2fnas run` does it too.

    Examples:

    `c2fnas prepare Task04_Hippocampus --run runs/hippocampus`

    `c2fnas prepare Task04_Hippocampus --run runs/hippocampus --plan-only` (then edit runs/hippocampus/plan.yaml)

    `c2fnas prepare CardiacShortAxis --run runs/cardiac --folds random --group-by '(.+)_E[DS]'`
    """
    from c2fnas.cli.display import Display
    from c2fnas.runs.lock import RunLock
    from c2fnas.stages.prepare import prepare, prepare_plan

    with RunLock(run), Display(quiet=quiet) as display:
        choice, places = fold_choice(folds, fold_count, group_by), device_names(devices)
        if plan_only:
            prepare_plan(dataset, run, budget, seed=seed, devices=places, reporter=display, folds=choice)
        else:
            prepare(dataset, run, budget, seed=seed, devices=places, reporter=display, folds=choice)
    typer.echo(f"{run / 'plan.yaml'} tells how cases are prepared; edit it before the run if you know better.")
