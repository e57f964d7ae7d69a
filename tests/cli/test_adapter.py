"""Functions become commands: arguments, options, help, JSON, exit codes."""

import inspect
import json
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import pytest
import typer
from typer.testing import CliRunner

from c2fnas.cli import COMMANDS
from c2fnas.cli import text as texts
from c2fnas.cli.adapter import Command, adapt, load, plain
from c2fnas.errors import UserError
from c2fnas.runs.reporter import Reporter


class Shared(TypedDict, total=False):
    """Options of two functions.

    Attributes:
        pace: How fast.
    """

    pace: int


class More(Shared, total=False):
    """And one of this function.

    Attributes:
        paint: Which colour.
    """

    paint: str


@dataclass(frozen=True)
class Result:
    got: dict[str, Any]
    status: Literal["fine", "partial"] = "fine"
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return self.got

    def text(self) -> str:
        return "all is well"


def work(
    source: str | Path,
    others: Sequence[str | Path],
    *,
    size: tuple[int, int, int] = (1, 2, 3),
    factors: Sequence[float] = (0.5, 1.0),
    names: Sequence[str] = (),
    kind: Literal["a", "b"] = "a",
    start: str | None = None,
    fast: bool | None = None,
    loud: bool = False,
    wrong: bool = False,
    reporter: Reporter | None = None,
    **options: Unpack[More],
) -> Result:
    """Do work.

    A second paragraph.

    Args:
        source: Where it
            begins.
        others: And more.
        size: Of it.
        factors: Of sizes.
        names: Of things.
        kind: Of work.
        start: From here.
        fast: Hurry.
        loud: Be heard.
        wrong: Fail.
        reporter: Hears.
        options: Others.

    Examples:
        work here --size 1 2 3
    """
    if wrong:
        raise UserError("this is wrong.")
    if reporter is not None:
        reporter.say("working")
    got = {key: value for key, value in locals().items() if key not in ("reporter", "options", "got")} | dict(options)
    return Result(json.loads(json.dumps(got, default=str)), "partial" if loud else "fine", ("mind it",) if loud else ())


class Subject:
    """Something that is opened."""

    def __init__(self, run: str | Path, **options: Unpack[Shared]) -> None:
        """Open it.

        Args:
            run: The place.
        """
        self.run, self.options = run, options

    def double(self, *, by: int = 2) -> Result:
        """Double it.

        Args:
            by: As often.
        """
        return Result({"run": str(self.run), "by": by, **self.options})


def opened(run: str | Path, **options: Unpack[Shared]) -> Subject:
    """Open it.

    Args:
        run: The place.
    """
    return Subject(run, **options)


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions of this file in a module that a command can name."""
    made = types.ModuleType("adapted")
    vars(made).update(work=work, Subject=Subject, opened=opened, Shared=Shared, More=More)
    monkeypatch.setitem(sys.modules, "adapted", made)


def call(command: Command, *arguments: str) -> Any:
    app = typer.Typer(rich_markup_mode=None)
    app.command()(adapt(command))
    return CliRunner().invoke(app, list(arguments))


WORK = Command("work", "adapted:work", "text:own")


def test_arguments_and_options_reach_the_function() -> None:
    done = call(
        WORK,
        "here",
        "x",
        "y",
        "--size",
        "4",
        "5",
        "6",
        "--factors",
        "0.25,2",
        "--factors",
        "3",
        "--names",
        "a,b",
        "--names",
        "c",
        "--kind",
        "b",
        "--from",
        "z",
        "--no-fast",
        "--pace",
        "7",
        "--paint",
        "red",
        "--json",
        "-q",
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "source": "here",
        "others": ["x", "y"],
        "size": [4, 5, 6],
        "factors": [0.25, 2, 3],
        "names": ["a,b", "c"],
        "kind": "b",
        "start": "z",
        "fast": False,
        "loud": False,
        "wrong": False,
        "pace": 7,
        "paint": "red",
    }


def test_what_is_left_out_is_as_the_function_has_it() -> None:
    got = json.loads(call(WORK, "here", "x", "--json", "-q").stdout)
    assert (got["size"], got["factors"], got["names"], got["fast"]) == ([1, 2, 3], [0.5, 1], [], None)
    assert "pace" not in got


def test_help_is_the_docstring() -> None:
    shown = " ".join(call(WORK, "--help").output.split())
    for said in (
        "Do work.",
        "A second paragraph.",
        "Where it begins.",
        "How fast.",
        "Which colour.",
        "--fast / --no-fast",
    ):
        assert said.replace(" / ", "/") in shown.replace(" / ", "/").replace(", ", "/")
    assert "Examples: work here --size 1 2 3" in shown
    assert "Hears." not in shown


def test_progress_goes_to_the_error_stream_and_the_result_to_the_output(tmp_path: Path) -> None:
    done = call(WORK, "here", "x", "--output", str(tmp_path / "result.json"))
    assert (done.stdout, done.stderr) == ("all is well\n", "working\n")
    assert json.loads((tmp_path / "result.json").read_text())["source"] == "here"
    assert call(WORK, "here", "x", "-q").stderr == ""


def test_a_partial_success_has_its_own_exit_code_and_warnings() -> None:
    done = call(WORK, "here", "x", "--loud", "-q")
    assert (done.exit_code, done.stderr) == (1, "mind it\n")


def test_a_number_that_is_none_is_named() -> None:
    done = call(WORK, "here", "x", "--factors", "0.5,much")
    assert isinstance(done.exception, UserError)
    assert "--factors 0.5,much: give numbers with commas" in str(done.exception)


def test_verbose_shows_where_a_mistake_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(call(WORK, "here", "x", "--wrong").exception, UserError)
    assert "Traceback" in call(WORK, "here", "x", "--wrong", "-v", "-q").stderr


def test_a_method_works_on_what_its_opener_makes_of_the_first_argument() -> None:
    double = Command("double", "adapted:Subject.double", "text:own", "adapted:opened")
    for arguments in (("here",), ("--run", "here")):  # as in version 0.1.0
        done = call(double, *arguments, "--by", "3", "--pace", "9", "--json")
        assert json.loads(done.stdout) == {"run": "here", "by": 3, "pace": 9}
    assert "missing argument RUN" in str(call(double).exception)
    alone = Command("double", "adapted:Subject.double", "text:own", "adapted:opened", jobs=False)
    assert "--pace" not in call(alone, "--help").output


def test_types() -> None:
    assert plain(str | Path) is Path
    assert plain(Sequence[float]) == list[float]
    assert plain(str | Path | Sequence[str | Path]) == list[Path]
    assert plain(int | None) == int | None


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_option_of_every_command_is_explained_and_its_result_presented(command: Command) -> None:
    doc = inspect.getdoc(load(command.source)) or ""
    assert f"c2fnas {command.name} " in doc, "an example"
    assert callable(load(f"c2fnas.cli.{command.text}"))
    for parameter in inspect.signature(adapt(command)).parameters.values():
        (info,) = parameter.annotation.__metadata__
        assert info.help or info.hidden, parameter.name
    assert texts.__doc__
