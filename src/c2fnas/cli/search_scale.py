"""`c2fnas search scale`: the found architecture at every width of a grid (paper 5.3, Table 4)."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2fnas.cli.backend import Address, Backend, CpusPerJob, JobDevices, executor_factory
from c2fnas.cli.options import Quiet
from c2fnas.cli.text_table import aligned, percent
from c2fnas.errors import UserError
from c2fnas.search.scaling_grid import WIDTHS
from c2fnas.space.geometry import by

if TYPE_CHECKING:
    from c2fnas.execution.executor import Executor
    from c2fnas.runs.reporter import Reporter
    from c2fnas.runs.run import Setting
    from c2fnas.studies.widths import Scaled

DEFAULT_WIDTHS = ",".join(f"{width:g}" for width in WIDTHS)


def scale(
    run: Annotated[Path, typer.Option("--run", help="A prepared run folder.")],
    architecture: Annotated[
        str | None, typer.Option("--architecture", "-a", help="What to scale; by default what the fine stage found.")
    ] = None,
    widths: Annotated[
        str, typer.Option(help="Multipliers of the paper's filter counts; the run's own width counts for nothing.")
    ] = DEFAULT_WIDTHS,
    patches: Annotated[
        str, typer.Option(help="Compound scaling: factors of the patch's sides, each with every width.")
    ] = "1",
    backend: Backend = "local",
    address: Address = None,
    cpus_per_job: CpusPerJob = 1,
    devices: JobDevices = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            help="Where to draw Dice against multiply-accumulates: PNG, SVG or PDF; else report/scaling.svg in the run."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train the found architecture at every width under the settings of the final network (paper 5.3).

    Prints Table 4: Dice per class on the validation fold of the search, parameters and multiply-accumulates of a patch,
    and draws them. Resumable; further widths join those that are there: the table, scale/table.json and the figure have
    every width that this run has trained so far.

    Examples:

    `c2fnas search scale --run runs/pancreas --devices cuda:0,cuda:1`

    `c2fnas search scale --run runs/hippocampus --widths 0.125,0.25,0.5 --patches 0.75,1 --json`
    """
    from c2fnas.cli.display import Display
    from c2fnas.report.figures import save_scaling
    from c2fnas.runs.folder import RunFolder
    from c2fnas.space.architecture import Architecture
    from c2fnas.stages.pipeline import on_run
    from c2fnas.studies.widths import search_width

    _refuse_format(figure)
    given = Architecture.load(architecture) if architecture else None
    grid, factors = numbers("--widths", widths), numbers("--patches", patches)

    def stage(setting: "Setting", executor: "Executor", reporter: "Reporter") -> tuple["Scaled", ...]:
        return search_width(setting, executor, reporter, widths=grid, patches=factors, architecture=given)

    executor = executor_factory(backend, address, cpus_per_job, devices)
    with Display(quiet=quiet) as display:
        rows = on_run(run, stage, executor=executor, reporter=display)
    save_scaling(rows, figure or RunFolder(run).report / "scaling.svg")
    if json:
        typer.echo(json_format.dumps({"rows": [row.to_json() for row in rows]}, indent=2))
    else:
        typer.echo(table(rows))


def _refuse_format(figure: Path | None) -> None:
    """Before hours of training, not after them."""
    if figure is not None and figure.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UserError(
            f"--figure {figure}: no kind of picture that can be drawn. Let its name end in .png, .svg or .pdf."
        )


def numbers(option: str, text: str) -> tuple[float, ...]:
    """The numbers of a list with commas.

    Raises:
        UserError: one of them is none.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"{option} {text}: give numbers with commas, such as 0.5,1,1.5.") from error


def table(rows: tuple["Scaled", ...]) -> str:
    """Table 4 as text: a line for each width, Dice in per cent as the paper prints it."""
    classes = next((list(row.per_class) for row in rows if row.per_class is not None), [])
    head = ["width", "patch", *classes, "mean", "params (M)", "MACs (G)"]
    lines = [head, *(_line(row, classes) for row in rows)]
    failures = [f"width {row.width:g}, patch {_sides(row)}, failed: {row.reason}" for row in rows if row.dice is None]
    return "\n".join([aligned(lines), *failures])


def _line(row: "Scaled", classes: list[str]) -> list[str]:
    scores = [*((row.per_class or {}).get(name) for name in classes), row.dice]
    return [
        f"{row.width:g}",
        _sides(row),
        *map(percent, scores),
        f"{row.parameters / 1e6:.2f}",
        f"{row.macs / 1e9:.2f}",
    ]


def _sides(row: "Scaled") -> str:
    return by(row.patch)
