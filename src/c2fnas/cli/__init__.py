"""The command line: one short module per command; heavy imports stay inside the commands, so `--help` is instant."""

import sys

import typer

from c2fnas.cli.ablate import ablate
from c2fnas.cli.check import check
from c2fnas.cli.compare import compare
from c2fnas.cli.demo import demo
from c2fnas.cli.describe import describe
from c2fnas.cli.evaluate import evaluate
from c2fnas.cli.export import export, import_
from c2fnas.cli.predict import predict
from c2fnas.cli.prepare import prepare
from c2fnas.cli.report import report
from c2fnas.cli.run import run
from c2fnas.cli.search import search
from c2fnas.cli.simulate import simulate
from c2fnas.cli.tabulate import tabulate
from c2fnas.cli.train import train
from c2fnas.cli.verdict import verdict
from c2fnas.errors import Interrupted, UserError

app = typer.Typer(
    name="c2fnas",
    help="Coarse-to-fine neural architecture search for 3D medical image segmentation.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    demo,
    check,
    prepare,
    run,
    train,
    predict,
    evaluate,
    report,
    describe,
    compare,
    ablate,
    tabulate,
    simulate,
):
    app.command()(command)
app.command("export")(export)
app.command("import")(import_)
app.command()(verdict)
app.add_typer(search, name="search")

USER_ERROR = 2
INTERRUPTED = 130


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and stop.", is_eager=True),
) -> None:
    if version:
        from c2fnas import __version__

        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def main() -> None:
    """Run the command line; a :class:`UserError` is one paragraph and exit code 2, without a traceback."""
    try:
        app()
    except UserError as error:
        print(f"c2fnas: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except Interrupted as stop:
        _stopped(str(stop))
    except SystemExit as end:
        if end.code == INTERRUPTED:  # what Typer makes of Ctrl-C
            _stopped("Run the same command again to carry on.")
        raise


def _stopped(why: str) -> None:
    print(f"\nc2fnas: stopped. {why}", file=sys.stderr)
    sys.exit(INTERRUPTED)
