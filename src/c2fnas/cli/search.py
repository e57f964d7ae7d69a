"""`c2fnas search`: one stage at a time, on a prepared run."""

from pathlib import Path
from typing import Annotated

import typer

from c2fnas.cli.options import Quiet
from c2fnas.cli.search_fine import fine
from c2fnas.cli.search_scale import scale

search = typer.Typer(no_args_is_help=True, help="Run one stage of the search on a prepared run (`c2fnas prepare`).")

Run = Annotated[Path, typer.Option("--run", help="A prepared run folder.")]


@search.command()
def coarse(run: Run, quiet: Quiet = False) -> None:
    """Search the topology with Algorithm 1 (paper 3.3). Resumable; finished, it prints what it found.

    Example: `c2fnas search coarse --run runs/hippocampus`
    """
    from c2fnas.stages.pipeline import coarse_stage, on_run

    _show(on_run(run, coarse_stage, **_surroundings(quiet)))


search.command()(fine)
search.command()(scale)


def _surroundings(quiet: bool) -> dict:
    from c2fnas.cli.display import Display
    from c2fnas.execution import LocalProcessExecutor

    return {"executor": LocalProcessExecutor, "reporter": Display(quiet=quiet)}


def _show(architecture: object) -> None:
    from c2fnas.space.architecture import Architecture
    from c2fnas.space.drawing import draw_text

    assert isinstance(architecture, Architecture)
    typer.echo(draw_text(architecture))
    typer.echo(architecture.to_text())
