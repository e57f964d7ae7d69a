"""Training curves: the loss over iterations, and the Dice of validations where there were any."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from c2fnas.report.figures.style import COLOURS, DICE_MAP, GREY
from c2fnas.runs.records.job_record import Curve

SMOOTHED = 5
FINEST = 200  # points of a curve
LINES = ("solid", "dashed", "dashdot", "dotted", (0, (5, 1, 1, 1, 1, 1)))


def is_curve(curve: Curve) -> bool:
    """Return true if the loss was noted more than once, so that there is something to draw."""
    return len(curve.iterations) > 1


def draw_losses(figure: Figure, curves: Sequence[tuple[str, Curve]]) -> None:
    """Draw the loss of a few trainings, pale, with its running mean; the Dice of validations follows below."""
    validated = [(name, curve) for name, curve in curves if len(curve.validated) > 1]
    axes = figure.subplots(2 if validated else 1, 1, sharex=True, squeeze=False)[:, 0]
    for number, (name, curve) in enumerate(curves):
        colour, line = COLOURS[number % len(COLOURS)], LINES[number % len(LINES)]
        iterations, losses = binned(curve.iterations), binned(curve.losses)
        axes[0].plot(iterations, losses, color=colour, alpha=0.25, linewidth=0.8)
        axes[0].plot(iterations, smooth(losses), color=colour, linestyle=line, label=name)
        if len(curve.validated) > 1:
            axes[1].plot(curve.validated, curve.dice, color=colour, linestyle=line, marker="o", markersize=4)
    axes[0].set(ylabel="loss (Dice + cross-entropy)")
    axes[-1].set(xlabel="iteration")
    axes[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if validated:
        axes[1].set(ylabel="mean Dice")
    if len(curves) > 1:
        axes[0].legend(loc="upper right")


def draw_candidate_losses(figure: Figure, curves: Sequence[tuple[float | None, Curve]]) -> None:
    """Draw the smoothed loss of many candidates, coloured by Dice; grey before there is one."""
    axes = figure.subplots()
    known = [dice for dice, _ in curves if dice is not None]
    norm, colours = Normalize(min(known, default=0.0), max(known, default=1.0)), colormaps[DICE_MAP]
    for dice, curve in sorted(curves, key=lambda pair: pair[0] if pair[0] is not None else -1.0):
        colour = GREY if dice is None else colours(norm(dice))
        axes.plot(binned(curve.iterations), smooth(binned(curve.losses)), color=colour, linewidth=1.2)
    if known:
        from matplotlib.cm import ScalarMappable

        figure.colorbar(ScalarMappable(norm, DICE_MAP), ax=axes, label="Dice", shrink=0.85)
    axes.set(xlabel="iteration", ylabel="loss (Dice + cross-entropy)")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def binned(values: Sequence[float], most: int = FINEST) -> NDArray:
    """Return means of equal runs of neighbours, ``most`` at most, so that a long training makes no large page.

    >>> binned([1, 2, 3, 4, 5, 9], most=3).tolist()
    [1.5, 3.5, 7.0]
    """
    parts = np.array_split(np.asarray(values, dtype=float), min(most, max(1, len(values))))
    return np.array([part.mean() for part in parts if len(part)])


def smooth(values: Sequence[float] | NDArray, width: int = SMOOTHED) -> NDArray:
    """Return the mean over ``width`` neighbours, over as many as there are at the ends; few values stay as they are.

    >>> smooth([1.0, 2.0, 6.0] * 3, width=3).round(2).tolist()
    [1.5, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 4.0]
    >>> smooth([1.0, 2.0, 6.0], width=3).tolist()
    [1.0, 2.0, 6.0]
    """
    array, half = np.asarray(values, dtype=float), width // 2
    if len(array) < 3 * width:
        return array
    sums = np.concatenate([[0.0], np.cumsum(array)])
    first = np.maximum(np.arange(len(array)) - half, 0)
    last = np.minimum(np.arange(len(array)) + half + 1, len(array))
    return (sums[last] - sums[first]) / (last - first)
