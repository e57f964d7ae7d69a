"""An architecture drawn in the terminal: levels as rows, cells as columns."""

from collections.abc import Iterator

from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import STEM, Topology

SLOT = 5  # columns of a cell: two of connector, three of operation


def draw_text(architecture: Architecture) -> str:
    """Draw the way through the levels with the operation of every cell (paper Figure 5), 80 columns for 12 cells.

    Dashed lines are the encoder–decoder skips. The last row names every second input, cells counted from 1; the
    stem-out may have one too.

    >>> print(draw_text(Architecture.from_text("0:2D 0:3D 1:P3D 1:3D 0:3D 0:2D")))
           cell       1    2    3    4    5    6   out
    0 1/2    64 stem─▶2D──▶3D─┬┄┄┄┄┄┄┄┄┄┬▶3D──▶2D─▶out
    1 1/4   128               └▶P3D─▶3D─┘
    2nd input              stem            2        5
    """
    topology = architecture.topology
    texts = ["stem", *(operation.value.ljust(SLOT - 2, "─") for operation in architecture.operations)]
    levels = range(topology.downsamplings + 1)
    labels = _aligned([(str(level), f"1/{2 ** (level + 1)}", str(architecture.filters(level))) for level in levels])
    rows = ["".join(_row(topology, texts, level)) for level in levels]
    labels = ["cell".rjust(len(labels[0])), *labels, "2nd input".ljust(len(labels[0]))]
    rows = [_header(topology.cells), *rows, _second_inputs(topology)]
    return "\n".join(f"{label} {row}".rstrip() for label, row in zip(labels, rows, strict=True))


def _aligned(labels: list[tuple[str, str, str]]) -> list[str]:
    """Level, resolution and filters of every row in columns."""
    level, resolution, filters = (max(map(len, column)) for column in zip(*labels, strict=True))
    return [f"{label[0]:>{level}} {label[1]:<{max(resolution, 4)}} {label[2]:>{max(filters, 4)}}" for label in labels]


def _header(cells: int) -> str:
    return " " * len("stem") + "".join(f"  {cell:<{SLOT - 2}}" for cell in range(1, cells + 1)) + " out"


def _row(topology: Topology, texts: list[str], level: int) -> Iterator[str]:
    """The stem's place on a level, then of every cell its connector to the one before and the cell itself."""
    path = (0, *topology.code)  # the stem, then the cells: index k + 1 is cell k
    spans = [(source + 1, target + 1) for source, target in topology.skips if topology.code[target] == level]
    yield texts[0] if level == 0 else " " * len(texts[0])
    for place in range(1, len(path)):
        skipped = any(source < place <= target for source, target in spans)
        yield _connector(path[place - 1], path[place], level, skipped)
        bridged = any(source < place < target for source, target in spans)
        yield texts[place] if path[place] == level else ("┄" if bridged else " ") * (SLOT - 2)
    if level == path[-1]:
        yield "▶out"


def _connector(before: int, after: int, level: int, skipped: bool) -> str:
    """Two characters on the row of ``level``, for a step from level ``before`` to level ``after``."""
    if before == after:
        return "─▶" if level == before else "┄┄" if skipped else "  "
    if level == after:
        return "┬▶" if skipped else "└▶" if after > before else "┌▶"
    if level == before:
        return "┬┄" if skipped else "┘ " if after < before else "┐ "
    return "┄┄" if skipped else "  "


def _second_inputs(topology: Topology) -> str:
    *cells, out = (_name(sources) for sources in (*topology.inputs, topology.outputs))
    return " " * len("stem") + "".join(f"  {name:<{SLOT - 2}}" for name in cells) + f" {out}"


def _name(sources: tuple[int, ...]) -> str:
    return "".join("stem" if source == STEM else str(source + 1) for source in sources[1:])
