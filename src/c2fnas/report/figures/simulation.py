"""The figure of a simulation: regret against evaluated networks and against compute, and Dice against distance."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from c2fnas.bench import Band, Comparison
from c2fnas.report.figures.style import BLUE, COLOURS, save_figure
from c2fnas.space.topology import Topology

INCHES = (15.0, 4.6)


def save_simulation(comparison: Comparison, scores: Mapping[Topology, float], path: Path) -> None:
    """Write the figure; the suffix of ``path`` selects the format (PNG, SVG, PDF)."""
    draw = partial(draw_simulation, comparison=comparison, scores=scores)
    save_figure(draw, path, width=INCHES[0], height=INCHES[1])


def draw_simulation(figure: Figure, comparison: Comparison, scores: Mapping[Topology, float]) -> None:
    """Draw three panels; bands are 95 % of the mean, dashed lines are searches with early stopping.

    Args:
        figure: To draw on; wide rather than high.
        comparison: The replayed searches.
        scores: Dice of the table's topologies.
    """
    left, middle, right = figure.subplots(1, 3)
    searches = list(dict.fromkeys(each.entry for each in comparison.contenders))
    for each in comparison.contenders:
        colour = COLOURS[searches.index(each.entry) % len(COLOURS)]
        look = {"color": colour, "linestyle": "--" if each.early_stopping else "-", "label": each.name}
        _curve(left, comparison.networks, each.by_networks, look)
        _curve(middle, comparison.costs, each.by_cost, look)
    left.set(xlabel="evaluated networks", ylabel="regret (Dice)", title="Against evaluated networks")
    middle.set(xlabel="processor seconds", title="Against compute")
    left.legend(fontsize=7)
    highest = max(float(np.max(each.by_networks.mean)) for each in comparison.contenders)
    first = float(np.mean([each.by_networks.mean[0] for each in comparison.contenders]))  # regret after one network
    for axes in (left, middle):
        axes.set_ylim(0, min(1.0, 1.1 * min(highest, first)))
    distance, difference = _pairs(scores)
    right.scatter(distance, difference, s=3, alpha=0.15, linewidths=0, color=BLUE)
    right.set(xlabel="distance of codes", ylabel="difference of Dice", title="Do similar topologies score alike?")


def _curve(axes: Axes, grid: NDArray, band: Band, look: dict[str, str]) -> None:
    axes.plot(grid, band.mean, linewidth=1.3, **look)  # type: ignore[arg-type]
    axes.fill_between(grid, band.low, band.high, color=look["color"], alpha=0.15, linewidth=0)


def _pairs(scores: Mapping[Topology, float]) -> tuple[NDArray, NDArray]:
    codes = np.array([topology.code for topology in scores], dtype=float)
    dice = np.array(list(scores.values()))
    rows, columns = np.triu_indices(len(dice), k=1)
    return np.sqrt(((codes[rows] - codes[columns]) ** 2).sum(axis=1)), np.abs(dice[rows] - dice[columns])
