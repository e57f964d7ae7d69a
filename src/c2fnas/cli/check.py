"""`c2fnas check`: every problem of a data set, with the fix."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from c2fnas.cli.options import Quiet
from c2fnas.errors import UserError

if TYPE_CHECKING:
    from c2fnas.cli.display import Display
    from c2fnas.data.fixing import Fixed
    from c2fnas.data.problem import CaseError, Problem
    from c2fnas.data.scan import Scan

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
    """Read every file of a data set once and list every problem, with what was found, what was expected and the fix.

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
    from c2fnas.data.folds import fold_problems
    from c2fnas.data.problem import CaseError

    if fill is not None and fix is None:
        raise UserError("--fill is for corrected copies: say with --fix DIR where they go.")
    with Display(quiet=quiet or as_json) as display:
        try:
            scan = _scan(dataset, workers, display)
        except CaseError as error:
            _unreadable(error, as_json)
            raise typer.Exit(2) from error
        fixed = () if fix is None else _fix(scan, fix, fill, display)
    problems = (*scan.problems, *fold_problems(scan.dataset, scan.present, scan.dataset.root))
    if as_json:
        _print_json(scan, problems, fixed if fix else None)
    else:
        _print(scan, problems, fixed, fix)
    raise typer.Exit(_exit_code(problems))


def _scan(dataset: Path, workers: int | None, display: "Display") -> "Scan":
    from c2fnas.data.parallel import usable_cores
    from c2fnas.data.scan import scan_dataset

    def progress(done: int, total: int) -> None:
        display.update("check", done / total)

    display.start("check", 1)
    scan = scan_dataset(dataset, workers=workers or usable_cores(), progress=progress)
    display.finish("check")
    return scan


def _fix(scan: "Scan", folder: Path, fill: float | None, display: "Display") -> "tuple[Fixed, ...]":
    from c2fnas.data.fixing import fix_dataset

    def progress(done: int, total: int) -> None:
        display.update("copy", done / total)

    display.start("copy", 1)
    fixed = fix_dataset(scan, folder, fill=fill, progress=progress)
    display.finish("copy")
    return fixed


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


def _print_json(scan: "Scan", problems: "Sequence[Problem]", fixed: "Sequence[Fixed] | None") -> None:
    import json
    from dataclasses import asdict

    content: dict[str, Any] = {"problems": [problem.to_json() for problem in problems]}
    if fixed is not None:
        content["fixed"] = [asdict(each) for each in fixed]
    typer.echo(json.dumps(content | {"dataset": _summary(scan)}, indent=1))


def _summary(scan: "Scan") -> dict[str, Any]:
    dataset = scan.dataset
    return {
        "name": dataset.name,
        "training": len(dataset.training),
        "test": len(dataset.test),
        "channels": dataset.channels,
        "classes": [
            {"name": each.name, "values": each.values, "cases": cases}
            for each, cases in zip(dataset.classes, scan.class_cases, strict=True)
        ],
    }


def _print(scan: "Scan", problems: "Sequence[Problem]", fixed: "Sequence[Fixed]", fix: Path | None) -> None:
    """The problems; those that many cases share once, with the files' names."""
    groups: dict[tuple[str, ...], list[Problem]] = {}
    for each in problems:
        groups.setdefault((each.severity, each.found, each.expected, each.fix), []).append(each)
    for (severity, found, expected, remedy), same in groups.items():
        typer.echo(
            f"{severity}: {_places([each.place for each in same])}: found {found}, expected {expected}. {remedy}"
        )
    errors = sum(problem.severity == "error" for problem in problems)
    dataset = scan.dataset
    typer.echo(
        f"{dataset.name}: {len(dataset.training)} training and {len(dataset.test)} test cases, "
        f"{errors} errors, {len(problems) - errors} warnings."
    )
    if fix is not None:
        for done in fixed:
            typer.echo(f"corrected: {done.copy}: {done.fixed}")
        typer.echo(f"{fix} is a copy with {len(fixed)} files corrected. `c2fnas check {fix}` tells what is left.")


def _places(places: Sequence[str]) -> str:
    more = len(places) - SHOWN_CASES
    return ", ".join(places[:SHOWN_CASES]) + (f" and {more} more" if more > 0 else "")
