"""`c2fnas check`: every problem of a data set, with the mend."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from c2fnas.cli.options import Quiet

if TYPE_CHECKING:
    from c2fnas.data.check import Inspection
    from c2fnas.data.problem import Problem

SHOWN_CASES = 5


def check(
    dataset: Annotated[Path, typer.Argument(help="The data set's folder or file: MSD, nnU-Net raw, or a CSV.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the problems as JSON, and nothing else.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Cases read at the same time; by default one per core.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Read every file of a data set once and list every problem, with what was found, what was expected and the mend.

    Exit code 0: clean; 1: warnings only; 2: errors.

    Examples:

    `c2fnas check Task04_Hippocampus`

    `c2fnas check Task04_Hippocampus --json > problems.json`
    """
    import json

    inspection = _inspect(dataset, workers, quiet or as_json)
    problems = inspection.problems
    if as_json:
        typer.echo(
            json.dumps({"problems": [problem.to_json() for problem in problems]} | _summary(inspection), indent=1)
        )
    else:
        _print(inspection, problems)
    raise typer.Exit(_exit_code(problems))


def _inspect(dataset: Path, workers: int | None, quiet: bool) -> "Inspection":
    from c2fnas.cli.display import Display
    from c2fnas.data.check import inspect_dataset
    from c2fnas.stages.prepare import usable_cores

    with Display(quiet=quiet) as display:
        display.start("check", 1)
        inspection = inspect_dataset(
            dataset, workers=workers or usable_cores(),
            progress=lambda done, total: display.update("check", done / total),
        )  # fmt: skip
        display.finish("check")
    return inspection


def _exit_code(problems: "Sequence[Problem]") -> int:
    if any(problem.severity == "error" for problem in problems):
        return 2
    return 1 if problems else 0


def _summary(inspection: "Inspection") -> dict[str, Any]:
    dataset = inspection.dataset
    return {
        "name": dataset.name, "training": len(dataset.training), "test": len(dataset.test),
        "channels": dataset.channels,
        "classes": [
            {"name": each.name, "values": each.values, "cases": cases}
            for each, cases in zip(dataset.classes, inspection.class_cases, strict=True)
        ],
    }  # fmt: skip


def _print(inspection: "Inspection", problems: "Sequence[Problem]") -> None:
    """The problems; those that many cases share once, with the cases' names."""
    groups: dict[tuple[str, ...], list[Problem]] = {}
    for each in problems:
        groups.setdefault((each.severity, each.found, each.expected, each.mend), []).append(each)
    for (severity, found, expected, mend), same in groups.items():
        typer.echo(f"{severity}: {_places(same)}: found {found}, expected {expected}. {mend}")
    errors = sum(problem.severity == "error" for problem in problems)
    dataset = inspection.dataset
    typer.echo(
        f"{dataset.name}: {len(dataset.training)} training and {len(dataset.test)} test cases, "
        f"{errors} errors, {len(problems) - errors} warnings."
    )


def _places(problems: "Sequence[Problem]") -> str:
    shown = ", ".join(problem.file for problem in problems[:SHOWN_CASES])
    more = len(problems) - SHOWN_CASES
    return f"{shown} and {more} more" if more > 0 else shown
