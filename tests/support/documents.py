"""The written documents: README and the pages of the site, with the commands in them."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = (README, DOCS / "index.md", DOCS / "tutorial.md", *sorted(DOCS.glob("how-to/*.md")))
"""Whoever follows these types what they say."""
ALL = (README, *sorted(page for page in DOCS.rglob("*.md") if page.parent.name != "decisions"))

FENCE = re.compile(r"(?P<before>[^\n]*)\n```(?P<language>[^\n]*)\n(?P<text>.*?)\n```", re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run here: \S.* -->")
SHELL = ("bash", "sh", "shell", "console", "zsh", "")


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line above it."""

    language: str
    text: str
    before: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [Block(each["language"], each["text"], each["before"].strip()) for each in FENCE.finditer(text)]


def calls(page: Path) -> list[list[str]]:
    """The words of every call of c2fnas in the shell blocks of a page, run here or not."""
    found = []
    for block in blocks(page):
        if block.language not in SHELL:
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            try:
                words = shlex.split(line, comments=True)
            except ValueError:  # a string of several lines, of Python
                continue
            starts = [number for number, word in enumerate(words) if word == "c2fnas"]
            ends = [number for number, word in enumerate(words) if word in ("|", ">", "&&", "||", ";", "&")]
            found += [words[n + 1 : next((end for end in ends if end > n), len(words))] for n in starts]
    return [call for call in found if call]


def files(page: Path) -> dict[str, str]:
    """The files that a page tells to save beside its commands, by name."""
    titles = [(re.search(r'title="([^"/]+)"', block.language), block.text) for block in blocks(page)]
    return {title[1]: f"{text}\n" for title, text in titles if title}


def commands(page: Path) -> list[str]:
    """The blocks of a page that can be run as they are, in order; Python as a command, where it is no doctest."""
    found = [block for block in blocks(page) if not NOT_RUN.fullmatch(block.before)]
    texts = {"bash": "{}", "python": "python - <<'PYTHON'\n{}\nPYTHON"}
    return [
        texts[each.language].format(each.text) for each in found if each.language in texts and ">>>" not in each.text
    ]
