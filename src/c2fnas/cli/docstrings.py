"""Docstrings in Google's style, as far as help texts need them."""

import re
from dataclasses import dataclass, field
from textwrap import dedent

SECTION = re.compile(r"^(Args|Attributes|Examples|Returns|Raises):$", re.MULTILINE)
ENTRY = re.compile(r"^(\w+): (.+)$")


@dataclass(frozen=True)
class Docstring:
    """A docstring in parts.

    Attributes:
        text: the summary and the paragraphs below it.
        entries: what ``Args:`` or ``Attributes:`` says of each name.
        examples: the lines of ``Examples:``.
    """

    text: str
    entries: dict[str, str] = field(default_factory=dict)
    examples: tuple[str, ...] = ()


def parse(docstring: str) -> Docstring:
    """Take a cleaned docstring (:func:`inspect.getdoc`) apart.

    >>> parse("Count.\\n\\nArgs:\\n    start: The first\\n        number.\\n\\nExamples:\\n    count 3")
    Docstring(text='Count.', entries={'start': 'The first number.'}, examples=('count 3',))
    """
    text, *sections = SECTION.split(docstring)
    bodies = dict(zip(sections[::2], map(dedent, sections[1::2]), strict=True))
    entries = _entries(bodies.get("Args", "") + bodies.get("Attributes", ""))
    return Docstring(text.strip(), entries, tuple(filter(None, bodies.get("Examples", "").splitlines())))


def _entries(body: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    name = ""
    for line in body.splitlines():
        if found := ENTRY.match(line):
            name, entries[name] = found[1], found[2]
        elif name and line.strip():
            entries[name] += f" {line.strip()}"
    return entries
