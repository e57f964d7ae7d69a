"""The command line: the functions of ``c2fnas.api`` as commands. A command's module is loaded when it is asked for."""

import errno
import os
import signal
import sys
from collections import UserDict
from io import TextIOWrapper
from typing import Any

import typer
from typer.core import TyperGroup

from c2fnas.cli.adapter import INTERRUPTED, MISTAKE, Command, adapt
from c2fnas.cli.help import Context, HelpfulCommand, first_sentence
from c2fnas.cores import spin_briefly
from c2fnas.errors import Interrupted, UserError, exhaustion

RUN = "c2fnas.api.runs:open_run"
COMMANDS = [
    Command("demo", "c2fnas.api.pipelines:demo", "text_studies:run", options=("output",)),
    Command("check", "c2fnas.api.checks:check", "text:check"),
    Command("prepare", "c2fnas.api.pipelines:prepare", "text:prepared"),
    Command("run", "c2fnas.api.pipelines:run", "text_studies:run"),
    Command("train", "c2fnas.api.trainings:train", "text_studies:training"),
    Command("predict", "c2fnas.api.predictions:predict", "text:own"),
    Command("evaluate", "c2fnas.api.evaluations:evaluate", "text:evaluation"),
    Command("watch", "c2fnas.api.watching:watch", "text_watch:follow"),
    Command("report", "c2fnas.api.reports:report", "text:path"),
    Command("describe", "c2fnas.api.costs:describe", "text:description"),
    Command("compare", "c2fnas.api.costs:compare", "text:comparison"),
    Command("ablate", "c2fnas.api.ablation:ablate", "text_studies:ablation"),
    Command("tabulate", "c2fnas.api.runs:Run.tabulate", "text_studies:tabulation", RUN),
    Command("simulate", "c2fnas.api.simulations:simulate", "text:own"),
    Command("verdict", "c2fnas.api.runs:Run.judge", "text_studies:verdict", RUN),
    Command("search coarse", "c2fnas.api.runs:Run.search_topology", "text:architecture", RUN),
    Command("search fine", "c2fnas.api.runs:Run.search_operations", "text_studies:ranking", RUN),
    Command("search scale", "c2fnas.api.runs:Run.scale", "text_studies:scaling", RUN),
    Command(
        "export",
        "c2fnas.api.exports:Source.export",
        "text:exported",
        "c2fnas.api.exports:Source",
        ("format", "output"),
        False,
    ),
    Command("import", "c2fnas.api.exports:import_model", "text:exported", options=("output",)),
    Command("doctor", "c2fnas.api.doctor:doctor", "text:own"),
]
ABOUT = "Coarse-to-fine neural architecture search for 3D medical image segmentation."
SEARCH = (
    "Run one stage of the search on a prepared run (`c2fnas prepare`). Interrupted, by Ctrl-C or by a file called "
    "`stop` in the run folder, the same command carries on."
)
SETTINGS = {"help_option_names": ["-h", "--help"]}


class _Commands(UserDict[str, Any]):
    """Commands by name; one is made from its function when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        found = self.data[name]
        if isinstance(found, Command):
            single = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=SETTINGS)
            single.command(name, cls=HelpfulCommand)(adapt(found))
            found = self.data[name] = typer.main.get_command(single)
        return found


class _Group(TyperGroup):
    """The group of all commands, or of those of `search`."""

    context_class = Context

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        prefix = "search " if self.name == "search" else ""
        names = {each.name.removeprefix(prefix): each for each in COMMANDS if each.name.startswith(prefix)}
        self.commands = _Commands({name: each for name, each in names.items() if " " not in name} | dict(self.commands))

    def get_short_help_str(self, limit: int = 0) -> str:
        """Return the whole first sentence, of whatever length."""
        return first_sentence(self.help or "")


def _show_help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def _main(
    context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version and stop.")
) -> None:
    if version:
        from c2fnas import __version__

        typer.echo(__version__)
        raise typer.Exit
    _show_help(context)


def _typer(help: str, callback: Any, **options: Any) -> typer.Typer:
    made = typer.Typer(
        cls=_Group,
        help=help,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=SETTINGS,
        **options,
    )
    made.callback(invoke_without_command=True)(callback)
    return made


app = _typer(ABOUT, _main, name="c2fnas")
app.add_typer(_typer(SEARCH, _show_help, name="search"))


def main() -> None:
    """Run the command line: a mistake is one paragraph and exit code 2, without a traceback.

    SIGTERM, with which schedulers such as Slurm end a job, is Ctrl-C.
    """
    spin_briefly(os.environ)  # before torch is imported
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that lacks a letter shows `?`, and nothing is lost
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(app(prog_name="c2fnas", standalone_mode=False) or 0)
    except UserError as error:
        _end(f"c2fnas: {error}", MISTAKE)
    except Interrupted as stop:
        _end(f"\nc2fnas: stopped. {stop}", INTERRUPTED)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # Typer's code for Ctrl-C
            _end("\nc2fnas: stopped. Run the same command again to carry on.", INTERRUPTED)
        raise
    except PermissionError as error:
        _end(f"c2fnas: {error.filename}: {error.strerror}. Make it readable for this user, or name another.", MISTAKE)
    except Exception as error:
        if lack := exhaustion(error) or _no_room(error):
            _end(f"c2fnas: {lack}", MISTAKE)
        if not hasattr(error, "format_message"):  # of Typer: a wrong option or argument
            raise
        command = getattr(getattr(error, "ctx", None), "command_path", "c2fnas")
        from c2fnas.text import sentence

        message = sentence(error.format_message().replace("Value error, ", ""))
        _end(f"{command}: {message} `{command} --help` has examples.", MISTAKE)


def _no_room(error: Exception) -> str:
    """Return the remedy for a disk that takes no more; empty where that is not the fault."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return ""
    return f"{error.filename or 'a file'}: {error.strerror}. Free some space on its disk, or choose another place."


def _end(text: str, code: int) -> None:
    print(text, file=sys.stderr)
    sys.exit(code)
