"""`c2fnas report`: one page on a run, with its figures."""

from pathlib import Path
from typing import Annotated

import typer

from c2fnas.cli.options import Quiet, device_names


def report(
    run: Annotated[Path, typer.Argument(help="A run folder, finished or not.")],
    overlays: Annotated[
        bool, typer.Option(help="Show the best, median and worst case; the first time they are predicted.")
    ] = True,
    device: Annotated[
        str, typer.Option(help="Where to predict them: `auto` (the first GPU, else the CPU), `cpu`, `cuda:1` ...")
    ] = "auto",
    quiet: Quiet = False,
) -> None:
    """Write RUN/report/index.html: what was done and found, how good it is, what it cost and what is left.

    One page that needs no network and no other file; its figures lie beside it as SVG and PNG. The run is only looked
    at, so it may be under way.

    Examples:

    `c2fnas report runs/hippocampus`

    `c2fnas report runs/hippocampus --no-overlays`
    """
    from c2fnas.report import write_report

    def say(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    typer.echo(write_report(run, overlays=overlays, device=device_names(device)[0], say=say))
