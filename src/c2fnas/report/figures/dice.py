"""Dice on the validation cases: by class, and by case from the worst to the best."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from c2fnas.evaluation.metrics import CaseScores, Evaluation
from c2fnas.report.figures.style import BLACK, EDGE, class_series, legend_columns, legend_name
from c2fnas.report.final import case_dice
from c2fnas.text import score

LONGEST_NAME = 24


def draw_by_class(figure: Figure, evaluation: Evaluation) -> None:
    """Draw a row for each class: a dot for each case, apart where they would hide each other; the bar is the mean."""
    axes = figure.subplots()
    for place, (name, mean) in enumerate(evaluation.per_class.items()):
        values = sorted(dice for row in evaluation.cases if (dice := row.dice[name]) is not None)
        colour = class_series(place + 1)["color"]
        axes.scatter(values, place + spread(values), s=20, alpha=0.8, color=colour, **EDGE)
        if mean is not None:
            axes.plot([mean, mean], [place - 0.32, place + 0.32], color=BLACK, linewidth=2)
        axes.text(1.02, place, score(mean), transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    names = list(evaluation.per_class)
    axes.set_yticks(range(len(names)), [shortened(name) for name in names])
    axes.set(xlabel="Dice", ylim=(len(names) - 0.4, -0.6))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


def by_class_height(classes: int) -> float:
    """Return the inches that suit so many rows."""
    return max(2.2, 0.7 + 0.3 * classes)


def draw_by_case(figure: Figure, rows: Sequence[CaseScores]) -> None:
    """Draw a row for each case, the worst on top: a dot for each class, a bar for the mean of the case."""
    axes = figure.subplots()
    places = np.arange(len(rows))
    means = [case_dice(row) or 0.0 for row in rows]
    axes.scatter(means, places, marker="|", s=60, color=BLACK, label="mean", zorder=3)
    for number, name in enumerate(rows[0].dice, start=1):
        known = [(dice, place) for place, row in enumerate(rows) if (dice := row.dice[name]) is not None]
        values, at = [dice for dice, _ in known], [place for _, place in known]
        axes.scatter(values, at, s=20, alpha=0.8, label=legend_name(name), **class_series(number), **EDGE)
    axes.set_yticks(places, [shortened(row.case) for row in rows])
    axes.set(xlabel="Dice", ylim=(len(rows) - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    columns = legend_columns(["mean", *rows[0].dice])
    figure.legend(loc="outside upper left", ncols=columns, handletextpad=0.2, columnspacing=1.2)


def by_case_height(cases: int, classes: Sequence[str]) -> float:
    """Return the inches that suit so many rows with a legend of ``classes``."""
    lines = math.ceil((1 + len(classes)) / legend_columns(["mean", *classes]))
    return max(3.3, 0.9 + 0.2 * cases + 0.2 * lines)


def shortened(name: str) -> str:
    """Return a name without its beginning if it is long: names of cases mostly differ at the end.

    >>> shortened("hippocampus_001"), shortened("patient-0000017-visit-3-echo-2")
    ('hippocampus_001', '…-0000017-visit-3-echo-2')
    """
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"


def spread(values: Sequence[float], width: float = 0.26, bins: int = 25) -> np.ndarray:
    """Return offsets that set dots of nearly equal values side by side, symmetric about 0, at most ``width`` from it.

    >>> spread([0.1, 0.5, 0.5, 0.5], width=0.2, bins=4).tolist()
    [0.0, 0.0, 0.2, -0.2]
    """
    array = np.asarray(values, dtype=float)
    if not len(array):
        return array
    extent = max(float(np.ptp(array)), 1e-9)
    bin_of = np.minimum(((array - array.min()) / extent * bins).astype(int), bins - 1)
    order = np.array([int((bin_of[:index] == own).sum()) for index, own in enumerate(bin_of)])
    steps = np.where(order % 2 == 1, (order + 1) // 2, -(order // 2))
    return steps * (width / max(1, int(np.abs(steps).max())))
