"""A function as a command: its signature becomes arguments and options, its docstring the help."""

import inspect
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypedDict, Union, get_args, get_origin, is_typeddict

import typer

from c2fnas.cli.completion import completer
from c2fnas.cli.docstrings import parse
from c2fnas.errors import UserError

EXIT_CODES = {"fine": 0, "partial": 1, "wrong": 2}
"""By the `status` of a result: "partial" is a check with warnings, or work of which a part has failed."""
MISTAKE, INTERRUPTED = 2, 130

FLAGS = {
    "input": ("--input", "-i"),
    "output": ("--output", "-o"),
    "architecture": ("--architecture", "-a"),
    "architectures": ("--architecture", "-a"),
    "format": ("--format", "-f"),
    "start": ("--from",),
    "set": ("--set",),
}
"""Names of options that differ from their parameter's, or are short."""
PLACEHOLDERS = {"fix": "DIR", "figure": "FILE", "set": "FIELD=VALUE"} | {
    name: name.upper() for name in ("folds", "budget", "devices", "spacing", "address")
}


class Conventions(TypedDict):
    """Options of every command.

    Attributes:
        json: Print the result as JSON.
        quiet: Print the result alone, no progress.
        verbose: Print what libraries log, and the place in the code of an error.
    """

    json: bool
    quiet: bool
    verbose: bool


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        name: as it is typed, such as ``search coarse``.
        source: the function, ``module:name``, or the method, ``module:Class.name``.
        text: the function that presents the result, ``module:name`` in this package.
        opener: of a method, the function that makes its object of the first argument.
        options: parameters by position that are options here.
        jobs: True if the options of the opener are the command's too.
    """

    name: str
    source: str
    text: str
    opener: str | None = None
    options: tuple[str, ...] = ()
    jobs: bool = True

    @property
    def output(self) -> bool:
        """True if the command has an ``--output`` of its own, so that none is added for the JSON."""
        return "output" in inspect.signature(load(self.source)).parameters


@dataclass(frozen=True)
class Parameter:
    """A parameter of a function: its plain type, its default (``...`` for none) and what its docstring says of it."""

    name: str
    type: Any
    default: Any = ...
    help: str = ""
    by_position: bool = False

    @property
    def divided(self) -> bool:
        """True for an option of several values, which may stand with commas between them."""
        kind = _without_none(self.type)
        return not self.by_position and get_origin(kind) is list and get_args(kind)[0] not in (str, Path)

    @property
    def typed(self) -> inspect.Parameter:
        """The parameter as Typer wants it."""
        plain_type = _without_none(self.type)
        shape = "I,J,K" if get_origin(plain_type) is tuple else "PATH" if plain_type == list[Path] else None
        metavar = PLACEHOLDERS.get(self.name, shape)
        if self.by_position:
            optional = self.name == "run"  # for the --run of version 0.1.0
            shown: dict[str, Any] = {"metavar": self.name.upper(), "show_default": False}
            info: Any = typer.Argument(help=self.help, autocompletion=completer(self.name), **shown)
            kind, default = (self.type | None, None) if optional else (self.type, self.default)
        else:
            option = f"--{self.name.replace('_', '-')}"
            switch = plain_type is bool and self.default is not False
            names = FLAGS.get(self.name, (f"{option}/--no-{option[2:]}" if switch else option,))
            info = typer.Option(*names, help=self.help, metavar=metavar, autocompletion=completer(self.name))
            kind, default = self.type, self.default
            if self.divided:
                kind = list[str] | None if default is None else list[str]
                default = default and list(map(str, default))
        default = inspect.Parameter.empty if default is ... else default
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
        )


def load(source: str) -> Any:
    """The object that ``module:name`` or ``module:Class.name`` names."""
    module, _, path = source.partition(":")
    found = import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def adapt(command: Command) -> Callable[..., None]:
    """Return a function that Typer takes: it calls the command's function, prints its result and ends with its code."""
    parameters = list(_parameters(command))
    doc = parse(inspect.getdoc(load(command.source)) or "")

    def call(**values: Any) -> None:
        if "run" in values and not (values["run"] or values["run_option"]):
            raise UserError(f"{command.name}: missing argument RUN, the run folder. `--help` has examples.")
        sequences = {each.name: _divide(each, values[each.name]) for each in parameters if each.divided}
        _run(command, values | sequences)

    call.__doc__ = doc.text + "".join(["\n\n\b\nExamples:", *(f"\n  {line}" for line in doc.examples)])
    typed = [*(each.typed for each in parameters), *_conventions(command, parameters)]
    call.__signature__ = inspect.Signature(typed)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in typed}
    return call


def _run(command: Command, values: dict[str, Any]) -> None:
    """Call the function, print the result, end with its exit code."""
    values, ways = _divided_ways(values)
    if ways["verbose"]:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    try:
        result = _call(command, values, quiet=ways["quiet"] or os.environ.get("RANK", "0") != "0")
    except UserError:
        if ways["verbose"]:
            traceback.print_exc()
        raise
    if result is not None:
        _show(command, result, ways)


def _divided_ways(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of the function, and those of the command line alone."""
    own = {"json", "quiet", "verbose", "json_file", "run_option"}
    ways = {name: values.get(name) for name in own}
    values = {name: value for name, value in values.items() if name not in own and value is not None}
    if ways["run_option"] is not None and not values.get("run"):
        values["run"] = ways["run_option"]
    return values, ways


def _call(command: Command, values: dict[str, Any], *, quiet: bool) -> Any:
    function = load(command.source)
    opener = load(command.opener) if command.opener else None
    with ExitStack() as stack:
        reporter: dict[str, Any] = {}
        if any("reporter" in inspect.signature(each).parameters for each in (function, opener) if each):
            from c2fnas.cli.display import Display

            reporter = {"reporter": stack.enter_context(Display(quiet=quiet))}
        if opener is None:
            return function(**_needed(function, values), **_needed(function, reporter))
        subject = opener(**_needed(opener, values), **_needed(opener, reporter))
        return function(subject, **_needed(function, values), **_needed(function, reporter))


def _needed(function: Any, values: dict[str, Any]) -> dict[str, Any]:
    names = {each.name for each in _of_function(function)} | (inspect.signature(function).parameters.keys() - {"self"})
    return {name: value for name, value in values.items() if name in names}


def _show(command: Command, result: Any, ways: dict[str, Any]) -> None:
    if ways["json_file"] is not None:
        from c2fnas.files import write_json

        write_json(ways["json_file"], _content(result))
    text = json.dumps(_content(result), indent=2) if ways["json"] else load(f"c2fnas.cli.{command.text}")(result)
    if text:
        typer.echo(text)
    for line in getattr(result, "warnings", ()):
        typer.echo(line, err=True)
    if code := EXIT_CODES[getattr(result, "status", "fine")]:
        raise typer.Exit(code)


def _content(result: Any) -> Any:
    if hasattr(result, "to_json"):
        return result.to_json()
    return str(result) if isinstance(result, Path) else result


def _parameters(command: Command) -> Iterator[Parameter]:
    opened = list(_of_function(load(command.opener))) if command.opener else []
    own = list(_of_function(load(command.source), command.options))
    names = {each.name for each in own}
    yield from (each for each in opened if each.by_position)
    yield from own
    yield from (each for each in opened if command.jobs and not each.by_position and each.name not in names)


def _of_function(function: Any, options: Sequence[str] = ()) -> Iterator[Parameter]:
    entries = parse(inspect.getdoc(function) or "").entries
    for name, each in inspect.signature(function).parameters.items():
        if name in ("self", "reporter"):
            continue
        if each.kind is inspect.Parameter.VAR_KEYWORD:
            yield from _of_group(get_args(each.annotation)[0])
            continue
        by_position = each.kind is not inspect.Parameter.KEYWORD_ONLY and name not in options
        default = ... if each.default is inspect.Parameter.empty else each.default
        yield Parameter(name, plain(each.annotation), default, entries.get(name, ""), by_position)


def _of_group(group: Any) -> Iterator[Parameter]:
    """Options that several functions share: the keys of a typed dictionary, all of which may be left out."""
    entries: dict[str, str] = {}
    for each in vars(sys.modules[group.__module__]).values():  # its bases, which it does not remember, among them
        if is_typeddict(each):
            entries |= parse(inspect.getdoc(each) or "").entries
    for name, kind in group.__annotations__.items():
        yield Parameter(name, plain(kind) | None, None, entries[name])


def _conventions(command: Command, parameters: Sequence[Parameter]) -> Iterator[inspect.Parameter]:
    texts = parse(inspect.getdoc(Conventions) or "").entries
    short = {"quiet": ("-q",), "verbose": ("-v",)}
    if any(each.name == "run" and each.by_position for each in parameters):
        yield _option("run_option", Path | None, None, typer.Option("--run", hidden=True))
    if not command.output:
        info = typer.Option("--output", metavar="FILE", help="Write the result as JSON into this file too.")
        yield _option("json_file", Path | None, None, info)
    for name, text in texts.items():
        yield _option(name, bool, False, typer.Option(f"--{name}", *short.get(name, ()), help=text))


def _option(name: str, kind: Any, default: Any, info: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info])


def plain(annotation: Any) -> Any:
    """The type in which the command line gives a value, where a function takes several.

    >>> plain(str | Path), plain(str | Path | Sequence[str | Path]), plain(float | None)
    (<class 'pathlib.Path'>, list[pathlib.Path], float | None)
    """
    if get_origin(annotation) in (Union, UnionType):
        parts = [plain(part) for part in get_args(annotation) if part is not NoneType]
        several = [part for part in parts if get_origin(part) is list]
        kind = several[0] if several else Path if Path in parts else parts[0]
        return kind | None if NoneType in get_args(annotation) else kind
    if get_origin(annotation) in (list, Sequence):
        return list[plain(get_args(annotation)[0])]  # type: ignore[misc]
    return annotation


def _without_none(annotation: Any) -> Any:
    parts = [part for part in get_args(annotation) if part is not NoneType]
    return parts[0] if get_origin(annotation) in (Union, UnionType) and len(parts) == 1 else annotation


def _divide(parameter: Parameter, values: Sequence[Any] | None) -> list[Any] | None:
    """The values of an option that was given several times, or once with commas.

    Raises:
        UserError: one of them is no number where numbers are needed.
    """
    if not values:
        return None if values is None else []
    (kind,) = get_args(_without_none(parameter.type))
    parts = [part.strip() if isinstance(part, str) else part for value in values for part in str(value).split(",")]
    try:
        return [kind(part) for part in parts]
    except ValueError as error:
        name = parameter.name.replace("_", "-")
        raise UserError(f"--{name} {','.join(parts)}: give numbers with commas, such as 0.5,1,1.5.") from error
