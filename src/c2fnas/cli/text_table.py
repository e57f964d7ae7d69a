"""Tables as plain text, which a file or a mail takes as well as a terminal does."""

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]], left: int = 0) -> str:
    """Lines of cells in columns; the first ``left`` columns begin where they begin, the others end where they end.

    >>> print(aligned([["class", "Dice"], ["organ", "91.20"]], left=1))
    class   Dice
    organ  91.20
    """
    spaces = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        placed = (
            cell.ljust(space) if place < left else cell.rjust(space)
            for place, (cell, space) in enumerate(zip(cells, spaces, strict=True))
        )
        return "  ".join(placed).rstrip()

    return "\n".join(map(line, lines))


def percent(value: float | None) -> str:
    """A share as the paper prints Dice: in per cent; a dash where there is none.

    >>> percent(0.8037), percent(None)
    ('80.37', '–')
    """
    return "–" if value is None else f"{100 * value:.2f}"
