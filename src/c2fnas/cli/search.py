"""`c2fnas search`: one stage at a time, on a prepared run."""

import typer

from c2fnas.cli.search_coarse import coarse
from c2fnas.cli.search_fine import fine
from c2fnas.cli.search_scale import scale

search = typer.Typer(
    no_args_is_help=True,
    help="Run one stage of the search on a prepared run (`c2fnas prepare`). Interrupted, by Ctrl-C or by a file called "
    "`stop` in the run folder, the same command carries on.",
)
search.command()(coarse)
search.command()(fine)
search.command()(scale)
