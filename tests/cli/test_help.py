"""Help in eighty columns: every name, value and sentence of every command is there, whole; nothing leads nowhere."""

import inspect
import re
from typing import Any, Literal, get_args, get_origin

import pytest
import typer
from typer.testing import CliRunner

from c2fnas.cli import COMMANDS, app
from c2fnas.cli.adapter import adapt, load
from c2fnas.cli.docstrings import parse

GROUPS = ["", "search"]
ROOT = typer.main.get_command(app)
ELSEWHERE = re.compile(r"\b(docs|src|tests|benchmarks|examples)/|\.md\b|\.\./")
"""Paths of the repository, which are not where c2fnas is installed."""


def shown(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(app, [*name.split(), "--help"])
    assert done.exit_code == 0, done.output
    return done.output


def in_a_line(text: str) -> str:
    return " ".join(text.replace("\\\n", " ").split())


def command(name: str) -> Any:
    found: Any = ROOT
    for part in name.split():
        found = found.commands[part]
    return found


@pytest.mark.parametrize("name", [*GROUPS, *(each.name for each in COMMANDS)], ids=lambda name: name or "c2fnas")
def test_help_fits_into_eighty_columns_and_is_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(name, monkeypatch)
    words, line = text.split(), in_a_line(text)
    assert max(map(len, text.splitlines())) <= 80, max(text.splitlines(), key=len)
    assert not re.search(r"[a-z]\.\.\.", text), "a summary is cut"
    assert not ELSEWHERE.search(text), ELSEWHERE.search(text)
    for parameter in command(name).params:
        if getattr(parameter, "hidden", False):
            continue
        for option in (*parameter.opts, *parameter.secondary_opts):
            if option.startswith("-"):
                assert option in words or f"{option}," in words, option
        assert in_a_line(parameter.help) in line, parameter.name


@pytest.mark.parametrize("each", COMMANDS, ids=lambda each: each.name)
def test_help_has_every_sentence_example_and_choice_of_the_docstring(
    each: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    doc = parse(inspect.getdoc(load(each.source)) or "")
    text = shown(each.name, monkeypatch)
    for paragraph in doc.text.split("\n\n"):
        assert in_a_line(paragraph) in in_a_line(text)
    for example in doc.examples:
        assert in_a_line(example) in in_a_line(text)
    for parameter in inspect.signature(adapt(each)).parameters.values():
        for choice in choices(get_args(parameter.annotation)[0]):
            assert re.search(rf"[<|]{choice}[|>]", text), choice


def choices(kind: Any) -> list[str]:
    """The values of a type that lists them, or of what it is made of."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [each for part in get_args(kind) for each in choices(part)]


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_lists_its_commands_with_their_whole_first_sentence(
    group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = in_a_line(shown(group, monkeypatch))
    listed = [each for each in COMMANDS if each.name.rpartition(" ")[0] == group]
    assert len(listed) >= 3
    for each in listed:
        first = in_a_line(load(each.source).__doc__.split("\n\n")[0]).partition(". ")[0].rstrip(".")
        assert f"{each.name.split()[-1]} {first}." in line
