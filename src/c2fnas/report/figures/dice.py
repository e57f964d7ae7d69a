"""Dice on the validation cases: by class, and by case from the worst to the best."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from c2fnas.inference.metrics import CaseScores, Evaluation
from c2fnas.report.facts.final import case_dice
from c2fnas.report.figures.style import BLACK, COLOURS, series_look

LONGEST_NAME = 24


def draw_by_class(figure: Figure, evaluation: Evaluation) -> None:
    """A dot for each case, side by side where they would hide each other; the bar is the mean."""
    axes = figure.subplots()
    for place, (name, mean) in enumerate(evaluation.per_class.items()):
        values = sorted(dice for row in evaluation.cases if (dice := row.dice[name]) is not None)
        axes.scatter(
            place + spread(values), values, s=20, alpha=0.75, color=COLOURS[place % len(COLOURS)], linewidths=0
        )
        if mean is not None:
            axes.plot([place - 0.3, place + 0.3], [mean, mean], color=BLACK, linewidth=2)
            axes.text(place + 0.33, mean, f"{mean:.3f}", va="center", fontsize=9)
    names = list(evaluation.per_class)
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="Dice", xlim=(-0.6, len(names) - 0.2))
    axes.grid(axis="x", visible=False)


def draw_by_case(figure: Figure, rows: Sequence[CaseScores]) -> None:
    """A row for each case, the worst on top: a dot for each class, a bar for the mean of the case."""
    axes = figure.subplots()
    places = np.arange(len(rows))
    means = [case_dice(row) or 0.0 for row in rows]
    axes.scatter(means, places, marker="|", s=60, color=BLACK, label="mean", zorder=3)
    for number, name in enumerate(rows[0].dice):
        known = [(dice, place) for place, row in enumerate(rows) if (dice := row.dice[name]) is not None]
        values, at = [dice for dice, _ in known], [place for _, place in known]
        axes.scatter(values, at, s=18, alpha=0.8, linewidths=0, label=name, **series_look(number))
    axes.set_yticks(places, [_short(row.case) for row in rows], fontsize=8)
    axes.set(xlabel="Dice", ylim=(len(rows) - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper left", ncols=4, handletextpad=0.2, columnspacing=1.2)


def by_case_height(cases: int) -> float:
    """Inches that suit so many rows."""
    return max(3.3, 1.1 + 0.17 * cases)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"


def spread(values: Sequence[float], width: float = 0.26, bins: int = 25) -> np.ndarray:
    """Offsets that set dots of nearly equal values side by side, symmetric about 0; at most ``width`` from it.

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
