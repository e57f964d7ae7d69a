"""An architecture drawn in the terminal: levels as rows, cells as columns."""

from collections.abc import Iterator

from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import STEM, Topology

LABEL = 12  # columns before the stem: level, resolution, filters
SLOT = 5  # columns of a cell: two of connector, three of operation


def draw_text(architecture: Architecture) -> str:
    """Draw the path through the levels with the operation of every cell (paper Figure 5), 80 columns for 12 cells.

    Dashes are the encoder–decoder skips. The last row names every second input, cells counted from 1; the stem-out
    may have one too.

    >>> print(draw_text(Architecture.from_text("0:2D 0:3D 1:P3D 1:3D 0:3D 0:2D")))
            cell      1    2    3    4    5    6    out
    0 1/2    64 stem─▶2D──▶3D─┬┄┄┄┄┄┄┄┄┄┬▶3D──▶2D──▶out
    1 1/4   128               └▶P3D─▶3D─┘
    2nd input              stem            2         5
    """
    topology = architecture.topology
    texts = ["stem", *(operation.value.ljust(SLOT - 2, "─") for operation in architecture.operations)]
    rows = [_header(topology.cells)]
    for level in range(topology.downsamplings + 1):
        label = f"{level} {f'1/{2 ** (level + 1)}':<4} {architecture.filters(level):>4} "
        rows.append(label + "".join(_row(topology, texts, level)))
    return "\n".join(row.rstrip() for row in (*rows, _second_inputs(topology)))


def _header(cells: int) -> str:
    return f"{'cell':>{LABEL}}    " + "".join(f"  {cell:<{SLOT - 2}}" for cell in range(1, cells + 1)) + "  out"


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
        yield "─▶out"


def _connector(before: int, after: int, level: int, skipped: bool) -> str:
    """How the step from level ``before`` to level ``after`` looks on ``level``."""
    if before == after:
        return "─▶" if level == before else "┄┄" if skipped else "  "
    if level == after:
        return "┬▶" if skipped else "└▶" if after > before else "┌▶"
    if level == before:
        return "┬┄" if skipped else "┘ " if after < before else "┐ "
    return "┄┄" if skipped else "  "


def _second_inputs(topology: Topology) -> str:
    seconds = [sources[1:] for sources in (*topology.inputs, topology.outputs)]
    names = ("".join("stem" if source == STEM else str(source + 1) for source in second) for second in seconds)
    return f"{'2nd input':<{LABEL + 4}}" + "".join(f"  {name:<{SLOT - 2}}" for name in names)
