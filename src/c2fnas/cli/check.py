"""`c2fnas check`: every problem of a data set, with the mend."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from c2fnas.cli.options import Quiet
from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.cli.display import Display
    from c2fnas.data.check import Inspection
    from c2fnas.data.mending import Mended
    from c2fnas.data.problem import CaseError, Problem

SHOWN_CASES = 5


def check(
    dataset: Annotated[Path, typer.Argument(help="The data set's folder or file: MSD, nnU-Net raw, or a CSV.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the problems as JSON, and nothing else.")] = False,
    fix: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Copy the data set to DIR, with what is safe to correct corrected."),
    ] = None,
    fill: Annotated[
        float | None, typer.Option(help="With --fix: the value for NaN and infinite voxels of images.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Cases read at the same time; by default one per core.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Read every file of a data set once and list every problem, with what was found, what was expected and the mend.

    Exit code 0: clean; 1: warnings only; 2: errors.

    `--fix DIR` corrects a label's affine within tolerance of its image's, a label's fourth axis of one voxel, and
    labels stored as real numbers; everything else is copied as it is. Originals are never touched.

    Classes that a fold lacks are told for the folds that `c2fnas run` makes by default.

    Examples:

    `c2fnas check Task04_Hippocampus`

    `c2fnas check Task04_Hippocampus --json > problems.json`

    `c2fnas check Task04_Hippocampus --fix Task04_corrected`
    """
    from c2fnas.cli.display import Display
    from c2fnas.data.fold_choice import fold_problems
    from c2fnas.data.problem import CaseError

    if fill is not None and fix is None:
        raise UserError("--fill is for corrected copies: say with --fix DIR where they go.")
    with Display(quiet=quiet or as_json) as display:
        try:
            inspection = _inspect(dataset, workers, display)
        except CaseError as error:
            _unreadable(error, as_json)
            raise typer.Exit(2) from error
        mended = () if fix is None else _mend(inspection, fix, fill, display)
    problems = (*inspection.problems, *fold_problems(inspection.dataset, inspection.present, inspection.dataset.root))
    if as_json:
        _print_json(inspection, problems, mended if fix else None)
    else:
        _print(inspection, problems, mended, fix)
    raise typer.Exit(_exit_code(problems))


def _inspect(dataset: Path, workers: int | None, display: "Display") -> "Inspection":
    from c2fnas.cores import usable_cores
    from c2fnas.data.check import inspect_dataset

    def progress(done: int, total: int) -> None:
        display.update("check", done / total)

    display.start("check", 1)
    inspection = inspect_dataset(dataset, workers=workers or usable_cores(), progress=progress)
    display.finish("check")
    return inspection


def _mend(inspection: "Inspection", folder: Path, fill: float | None, display: "Display") -> "tuple[Mended, ...]":
    from c2fnas.data.mending import mend_dataset

    def progress(done: int, total: int) -> None:
        display.update("copy", done / total)

    display.start("copy", 1)
    mended = mend_dataset(inspection, folder, fill=fill, progress=progress)
    display.finish("copy")
    return mended


def _exit_code(problems: "Sequence[Problem]") -> int:
    if any(problem.severity == "error" for problem in problems):
        return 2
    return 1 if problems else 0


def _unreadable(error: "CaseError", as_json: bool) -> None:
    """There is nothing to check: no data set, or its manifest can't be read."""
    import json

    if as_json:
        typer.echo(json.dumps({"problems": [error.problem.to_json()]}, indent=1))
    else:
        typer.echo(f"c2fnas: {error}", err=True)


def _print_json(inspection: "Inspection", problems: "Sequence[Problem]", mended: "Sequence[Mended] | None") -> None:
    import json
    from dataclasses import asdict

    content: dict[str, Any] = {"problems": [problem.to_json() for problem in problems]}
    if mended is not None:
        content["fixed"] = [asdict(each) for each in mended]
    typer.echo(json.dumps(content | {"dataset": _summary(inspection)}, indent=1))


def _summary(inspection: "Inspection") -> dict[str, Any]:
    dataset = inspection.dataset
    return {
        "name": dataset.name,
        "training": len(dataset.training),
        "test": len(dataset.test),
        "channels": dataset.channels,
        "classes": [
            {"name": each.name, "values": each.values, "cases": cases}
            for each, cases in zip(dataset.classes, inspection.class_cases, strict=True)
        ],
    }


def _print(
    inspection: "Inspection", problems: "Sequence[Problem]", mended: "Sequence[Mended]", fix: Path | None
) -> None:
    """The problems; those that many cases share once, with the files' names."""
    groups: dict[tuple[str, ...], list[Problem]] = {}
    for each in problems:
        groups.setdefault((each.severity, each.found, each.expected, each.mend), []).append(each)
    for (severity, found, expected, mend), same in groups.items():
        typer.echo(f"{severity}: {_places([each.place for each in same])}: found {found}, expected {expected}. {mend}")
    errors = sum(problem.severity == "error" for problem in problems)
    dataset = inspection.dataset
    typer.echo(
        f"{dataset.name}: {len(dataset.training)} training and {len(dataset.test)} test cases, "
        f"{errors} errors, {len(problems) - errors} warnings."
    )
    if fix is not None:
        for done in mended:
            typer.echo(f"corrected: {done.copy}: {done.mended}")
        typer.echo(f"{fix} is a copy with {len(mended)} files corrected. `c2fnas check {fix}` tells what is left.")


def _places(places: Sequence[str]) -> str:
    more = len(places) - SHOWN_CASES
    return ", ".join(places[:SHOWN_CASES]) + (f" and {more} more" if more > 0 else "")
