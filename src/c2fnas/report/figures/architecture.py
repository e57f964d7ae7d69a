"""Figure 5: an architecture drawn — levels as rows, cells coloured by operation, second inputs as arrows, costs."""

from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch

from c2fnas.report.figures.style import BLACK, GREY, OPERATION_COLOURS, PALE, PURPLE, VERMILION, save_figure
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import CellCost, Cost, NetworkCost
from c2fnas.space.operation import Operation
from c2fnas.space.topology import Topology

HALF_WIDTH, HALF_HEIGHT = 0.36, 0.27
INK = {Operation.P3D: BLACK}  # on orange white is too pale


def draw_architecture(figure: Figure, architecture: Architecture, cost: NetworkCost) -> None:
    """Draw the network, and under each cell the multiply-accumulates that it takes.

    Args:
        figure: To draw on; wide rather than high.
        architecture: What is drawn.
        cost: Its cost at the input size of interest.
    """
    levels = architecture.topology.downsamplings + 1
    path, bars = figure.subplots(2, 1, sharex=True, height_ratios=[levels + 0.5, 1.3])
    _levels(path, architecture)
    _arrows(path, architecture.topology)
    _cells(path, architecture)
    _legend(path, architecture)
    _costs(bars, architecture, cost)


def save_architecture(architecture: Architecture, cost: NetworkCost, path: Path) -> None:
    """Write the figure; the suffix of ``path`` selects the format (PNG, SVG, PDF)."""
    draw = partial(draw_architecture, architecture=architecture, cost=cost)
    save_figure(draw, path, height=architecture_height(architecture))


def architecture_height(architecture: Architecture) -> float:
    """Return the inches that suit the drawing of so many levels."""
    return 2.3 + 0.62 * (architecture.topology.downsamplings + 1)


def _levels(axes: Axes, architecture: Architecture) -> None:
    topology = architecture.topology
    levels, last = range(topology.downsamplings + 1), topology.cells + 1
    axes.set(xlim=(-0.6, last + 0.6), ylim=(topology.downsamplings + 0.5, -0.62))
    names = [f"level {level}, 1/{2 ** (level + 1)}\n{architecture.filters(level)} filters" for level in levels]
    axes.set_yticks(levels, names)
    axes.tick_params(length=0, labelbottom=False)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    for level in levels:
        axes.axhline(level, color="#F1F1F1", linewidth=16, zorder=0)


def _cells(axes: Axes, architecture: Architecture) -> None:
    topology = architecture.topology
    _box(axes, 0, 0, PALE, "stem", BLACK, "normal")
    for cell, (level, operation) in enumerate(zip(topology.code, architecture.operations, strict=True), start=1):
        _box(axes, cell, level, OPERATION_COLOURS[operation], operation.value, INK.get(operation, "white"))
    _box(axes, topology.cells + 1, 0, PALE, "out", BLACK, "normal")


def _box(axes: Axes, x: float, y: float, colour: str, text: str, ink: str, weight: str = "bold") -> None:
    corner, size = (x - HALF_WIDTH, y - HALF_HEIGHT), (2 * HALF_WIDTH, 2 * HALF_HEIGHT)
    box = FancyBboxPatch(
        corner, *size, boxstyle="round,pad=0,rounding_size=0.1", facecolor=colour, edgecolor="white", zorder=3
    )
    axes.add_patch(box)
    axes.text(x, y, text, color=ink, ha="center", va="center", fontsize=10, fontweight=weight, zorder=4)


def _arrows(axes: Axes, topology: Topology) -> None:
    """Draw the path through the cells, the skips, and the other second inputs."""
    rows = [0, *topology.code, 0]  # of the stem, the cells and the stem-out
    for place in range(1, len(rows)):
        _straight(axes, place - 1, place, rows, BLACK, "solid")
    skips = {target: source for source, target in topology.skips}
    for cell, (_, *second) in enumerate((*topology.inputs, topology.outputs)):
        for source in second:
            if skips.get(cell) == source and cell - source > 1:
                _straight(axes, source + 1, cell + 1, rows, VERMILION, (0, (4, 2)))
            else:
                _arc(axes, source + 1, cell + 1, rows[cell + 1])


def _straight(axes: Axes, start: int, stop: int, rows: list[int], colour: str, line: Any) -> None:
    """Draw an arrow along the row, or from bottom to side or side to bottom between rows."""
    right, left = (start + HALF_WIDTH, rows[start]), (stop - HALF_WIDTH, rows[stop])
    if rows[start] == rows[stop]:
        _arrow(axes, right, left, "arc3", colour, line)
    elif rows[start] < rows[stop]:
        _arrow(axes, (start, rows[start] + HALF_HEIGHT), left, "angle,angleA=90,angleB=0,rad=6", colour, line)
    else:
        _arrow(axes, right, (stop, rows[stop] + HALF_HEIGHT), "angle,angleA=0,angleB=90,rad=6", colour, line)


def _arc(axes: Axes, start: int, stop: int, row: int) -> None:
    """Draw an arc over the cell between; it starts and ends off the middle, so that two of a row stay apart."""
    begin, end = (start + 0.13, row - HALF_HEIGHT), (stop - 0.13, row - HALF_HEIGHT)
    _arrow(axes, begin, end, "arc3,rad=-0.22", PURPLE, "solid")


def _arrow(
    axes: Axes, begin: tuple[float, float], end: tuple[float, float], shape: str, colour: str, line: Any
) -> None:
    arrow = FancyArrowPatch(
        begin,
        end,
        connectionstyle=shape,
        arrowstyle="-|>",
        mutation_scale=9,
        color=colour,
        linestyle=line,
        linewidth=1.4,
        shrinkA=0,
        shrinkB=0,
        zorder=2,
    )
    axes.add_patch(arrow)


def _legend(axes: Axes, architecture: Architecture) -> None:
    used = [operation for operation in OPERATION_COLOURS if operation in architecture.operations]
    handles: list[Artist] = [Patch(color=OPERATION_COLOURS[each], label=each.value) for each in used]
    lines = [("skip", VERMILION, "dashed"), ("second input from the output before the previous one", PURPLE, "solid")]
    handles += [
        axes.plot([], [], color=colour, linestyle=style, linewidth=1.4, label=label)[0]
        for label, colour, style in lines
    ]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.0, 1.13), ncols=len(handles), columnspacing=1.4)


def _costs(axes: Axes, architecture: Architecture, cost: NetworkCost) -> None:
    parts: list[Cost | CellCost] = [cost.stem_in, *cost.cells, cost.stem_out]
    colours = [GREY, *(OPERATION_COLOURS[each] for each in architecture.operations), GREY]
    largest = max(part.macs for part in parts)
    unit, name = (1e9, "G") if largest >= 1e9 else (1e6, "M")
    values = [part.macs / unit for part in parts]
    axes.bar(range(len(parts)), values, width=2 * HALF_WIDTH, color=colours)
    for place, (value, part) in enumerate(zip(values, parts, strict=True)):
        text = f"{_digits(value)}\n{_count(part.parameters)}"
        axes.text(place, value, text, ha="center", va="bottom", fontsize=8, linespacing=1.1)
    axes.set(ylim=(0, 1.75 * max(values)), yticks=[], ylabel=f"MACs ({name})\nparameters")
    axes.yaxis.label.set(rotation=0, ha="right", va="center")
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    cells = architecture.topology.cells
    axes.set_xticks(range(cells + 2), ["stem", *map(str, range(1, cells + 1)), "out"])
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel("cell")


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _count(number: int) -> str:
    return f"{number / 1e6:.2g} M" if number >= 1e6 else f"{number / 1e3:.3g} k"
