"""The operations of every cell: how evenly the super-network trained them, and what each does to the Dice."""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from c2fnas.report.facts.fine import FineFacts, operation_effects
from c2fnas.report.figures.style import BLACK, OPERATION_COLOURS, OPERATION_MARKERS, PALE
from c2fnas.space.operation import Operation

APART = 0.22  # of a cell's width, between its operations


def draw_fairness(figure: Figure, fine: FineFacts) -> None:
    """In how many iterations each operation of each cell was trained; the band is what uniform sampling gives.

    The band holds about 95 % of the counts of independent draws.
    """
    assert fine.sampling is not None
    axes = figure.subplots()
    iterations, choices = sum(fine.sampling[0]), len(fine.operations)
    expected = iterations / choices
    spread = 1.96 * math.sqrt(iterations / choices * (1 - 1 / choices))
    axes.axhspan(expected - spread, expected + spread, color=PALE, alpha=0.5, linewidth=0)
    axes.axhline(expected, color=BLACK, linewidth=0.8)
    for column, operation in enumerate(fine.operations):
        places = [_place(cell, column, choices) for cell in range(len(fine.sampling))]
        axes.scatter(places, [row[column] for row in fine.sampling], s=30, **_look(operation), label=operation.value)
    axes.set(ylabel="iterations")
    _cells(axes, len(fine.sampling))
    figure.legend(loc="outside upper left", ncols=choices)


def draw_effects(figure: Figure, fine: FineFacts) -> None:
    """The mean Dice of candidates with each operation in each cell, less the mean of all, with its 95 % interval."""
    axes = figure.subplots()
    effects = operation_effects(fine.comparable, fine.operations)
    axes.axhline(0, color=BLACK, linewidth=0.8)
    for column, operation in enumerate(fine.operations):
        own = [each for each in effects if each.operation is operation]
        axes.errorbar(
            [_place(each.cell - 1, column, len(fine.operations)) for each in own],
            [each.mean for each in own],
            yerr=[each.half_width or 0.0 for each in own],
            linestyle="none",
            markersize=6,
            elinewidth=1.4,
            label=operation.value,
            **_look(operation),
        )
    axes.set(ylabel="difference of mean Dice")
    _cells(axes, len(fine.comparable[0].architecture.operations))
    figure.legend(loc="outside upper left", ncols=len(fine.operations))


def _look(operation: Operation) -> dict[str, Any]:
    return {"color": OPERATION_COLOURS[operation], "marker": OPERATION_MARKERS[operation]}


def _place(cell: int, column: int, choices: int) -> float:
    return cell + 1 + APART * (column - (choices - 1) / 2)


def _cells(axes: Axes, count: int) -> None:
    axes.set_xticks(range(1, count + 1))
    axes.set(xlabel="cell", xlim=(0.4, count + 0.6))
    axes.grid(axis="x", visible=False)
    for cell in range(1, count):
        axes.axvline(cell + 0.5, color="#EEEEEE", linewidth=0.8, zorder=0)
