"""Docstrings as Markdown: doctests become blocks of code, Sphinx's roles plain names. An extension of Griffe."""

import re
from typing import Any

import griffe

COMMANDS = re.compile(r"^( *)Examples:\n((?:\1    (?:c2fnas|torchrun) .*(?:\n|$))+)", re.MULTILINE)
DOCTEST = re.compile(r"^( *)>>> .*(?:\n(?! *$).*)*", re.MULTILINE)
ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):(?=`)")


def as_markdown(text: str) -> str:
    """A docstring whose doctests are fenced and whose references are names."""
    text = COMMANDS.sub(r"\1On the command line:\n\n\2", text)
    fenced = DOCTEST.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)
    return ROLE.sub("", fenced)


class MarkdownDocstrings(griffe.Extension):
    """Every docstring of the package, as it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Turn the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)
