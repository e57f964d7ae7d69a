"""Help that fits a terminal: no summary is cut, no name or value broken in two, examples stay whole commands."""

import re
import textwrap
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import typer
from typer.core import TyperCommand

SPACING, WIDEST = 2, 26
"""Columns between a name and what is said of it, and the widest name beside which it may stand."""

CODE = re.compile(r"`[^`]+`[.,;:)]*")


def lines_of(text: str, width: int) -> list[str]:
    """Return a paragraph in lines; it is divided at spaces alone, and not at those of code where it fits on a line.

    A list that is longer than a line is divided at its commas.

    >>> lines_of("Samplers: optuna-random, regularised-evolution. Then `c2fnas run`.", 30)
    ['Samplers: optuna-random,', 'regularised-evolution. Then', '`c2fnas run`.']
    """
    kept = CODE.sub(lambda code: code[0].replace(" ", "\xa0") if len(code[0]) < width else code[0], text)
    kept = re.sub(r"\S+", lambda word: word[0].replace(",", ", ") if len(word[0]) > width else word[0], kept)
    lines = textwrap.wrap(kept, width, break_on_hyphens=False, break_long_words=False)
    return [line.replace("\xa0", " ") for line in lines]


def command_lines(command: str, width: int) -> list[str]:
    """Return a command that can be pasted: where it is too long, the shell is told that it goes on.

    >>> command_lines("c2fnas run Task07 runs/pancreas --seed 3 --budget day", 36)
    ['c2fnas run Task07 runs/pancreas \\\\', '    --seed 3 --budget day']
    """
    if len(command) <= width:
        return [command]
    words = command.replace(" --", "\0--").replace(" -o ", "\0-o ").split("\0")  # an option stays with its value
    words = [part for word in words for part in ([word] if len(word) < width - 6 else word.split(" "))]
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) + 3 > width:
            lines[-1] += " \\"
            lines.append(f"    {word}")
        else:
            lines[-1] += f" {word}"
    return lines


class HelpFormatter(typer.Context.formatter_class):  # type: ignore[valid-type, misc]
    """The formatter of the whole command line."""

    def write_text(self, text: str) -> None:
        """Write paragraphs; one that begins with a backspace keeps its lines, which are commands below a heading."""
        indent, paragraphs = " " * self.current_indent, []
        for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
            head, *rest = paragraph.split("\n")
            lines = list(self._kept(rest)) if head.strip() == "\b" else lines_of(paragraph, self._room)
            paragraphs.append("\n".join(f"{indent}{line}" for line in lines))
        self.write("\n\n".join(paragraphs) + "\n")

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the line of usage, in several where it is long."""
        usage = f"{prefix or 'Usage: '}{prog} "
        first, *others = lines_of(args, self.width - len(usage)) or [""]
        self.write("".join(f"{line}\n" for line in [usage + first, *(" " * len(usage) + line for line in others)]))

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = WIDEST, col_spacing: int = SPACING) -> None:
        """Write names and what is said of them; below a name that is too wide to stand beside."""
        column = max((len(name) for name, _ in rows if len(name) <= col_max), default=col_max) + col_spacing
        for name, text in rows:
            lines = lines_of(text, self._room - column)
            beside = len(name) + col_spacing <= column
            first = f"{name:{column}}{lines[0]}" if beside and lines else name
            below = [f"{'':{column}}{line}" for line in lines[1 if beside else 0 :]]
            self.write("".join(f"{'':{self.current_indent}}{line}".rstrip() + "\n" for line in [first, *below]))

    @property
    def _room(self) -> int:
        return int(self.width - self.current_indent)

    def _kept(self, lines: Sequence[str]) -> Iterator[str]:
        for line in lines:
            text = line.lstrip()
            indent = line[: len(line) - len(text)]
            yield from (indent + part for part in command_lines(text, self._room - len(indent)))


class Context(typer.Context):
    """The context of every command; it has our formatter."""

    formatter_class = HelpFormatter


class HelpfulCommand(TyperCommand):
    """A command whose help fits a terminal."""

    context_class = Context

    def get_short_help_str(self, limit: int = 0) -> str:
        """Return the whole first sentence, of whatever length."""
        return first_sentence(self.help or "")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of a command; the numbers of one option may stand with commas between them."""
        several = {name for option in self.params if option.nargs > 1 for name in option.opts}
        try:
            return super().parse_args(ctx, list(divided(args, several)))
        except Exception as error:
            if getattr(error, "ctx", ctx) is None:  # so that the message names this command's help
                error.ctx = ctx  # type: ignore[attr-defined]
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the pieces of the line of usage: brackets mean that an argument may be left out, and nothing else."""
        pieces = [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]
        return [piece.replace("[RUN]", "RUN") for piece in pieces]  # optional for the --run of version 0.1.0 alone


def divided(words: Sequence[str], options: Collection[str]) -> Iterator[str]:
    """Yield the words of a command, the value of each of ``options`` divided at its commas.

    >>> list(divided(["--input", "40,56,40", "--input=8,9,10", "1,2"], {"--input"}))
    ['--input', '40', '56', '40', '--input', '8', '9', '10', '1,2']
    """
    before = ""
    for word in words:
        name, sign, value = word.partition("=")
        if sign and name in options:
            yield from (name, *value.split(","))
        else:
            yield from word.split(",") if before in options else [word]
        before = word


def first_sentence(text: str) -> str:
    """Return the first sentence of a docstring.

    >>> first_sentence("Write a page. It needs\\n no network.")
    'Write a page.'
    """
    whole = " ".join(text.split("\n\n")[0].split())
    return whole.partition(". ")[0].removesuffix(".") + "."
