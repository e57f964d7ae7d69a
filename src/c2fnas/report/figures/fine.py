"""Figures of the fine stage: fairness of sampling, the candidates' Dice, effects, Pareto front, and retraining."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from c2fnas.report.figures.style import BLACK, BLUE, GREY, OPERATION_COLOURS, OPERATION_MARKERS, PALE, SKY, VERMILION
from c2fnas.report.fine import CONFIDENCE, FineSummary, dice_of, operation_effects
from c2fnas.runs.records.ranked import RankedPath
from c2fnas.search.ranks import is_on_front
from c2fnas.space.operation import Operation
from c2fnas.text import plural

APART = 0.22  # of a cell's width, between its operations


def draw_fairness(figure: Figure, fine: FineSummary) -> None:
    """Draw in how many iterations each operation of each cell was trained.

    The band holds about 95 % of the counts that uniform sampling gives.
    """
    assert fine.sampling is not None
    axes = figure.subplots()
    iterations, choices = sum(fine.sampling[0]), len(fine.operations)
    expected = iterations / choices
    spread = CONFIDENCE * math.sqrt(iterations / choices * (1 - 1 / choices))
    axes.axhspan(expected - spread, expected + spread, color=PALE, alpha=0.5, linewidth=0)
    axes.axhline(expected, color=BLACK, linewidth=0.8)
    for column, operation in enumerate(fine.operations):
        places = [_place(cell, column, choices) for cell in range(len(fine.sampling))]
        axes.scatter(places, [row[column] for row in fine.sampling], s=30, **_look(operation), label=operation.value)
    axes.set(ylabel="iterations")
    most = max(expected + spread, *(max(row) for row in fine.sampling))
    axes.set_ylim(-0.04 * most, 1.06 * most)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _cells(axes, len(fine.sampling))
    figure.legend(loc="outside upper left", ncols=choices)


def draw_effects(figure: Figure, fine: FineSummary) -> None:
    """Draw the effect of each operation in each cell on the mean Dice, with its 95 % interval."""
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


def draw_distribution(figure: Figure, fine: FineSummary) -> None:
    """Draw a histogram of Dice on the same cases for all; dropped candidates are pale, the chosen one is marked."""
    axes = figure.subplots()
    shown = fine.comparable
    bins = np.histogram_bin_edges([dice_of(each) for each in shown], bins=min(30, max(8, len(shown) // 6)))
    finalists = {each.architecture for each in fine.finalists}
    dropped = [dice_of(each) for each in shown if each.architecture not in finalists]
    groups = [[dice_of(each) for each in shown if each.architecture in finalists], *([dropped] if dropped else [])]
    colours, names = [BLUE, PALE][: len(groups)], ["finalists", "dropped before"][: len(groups)]
    axes.hist(groups, bins=list(bins), stacked=True, color=colours, label=names, edgecolor="white", linewidth=0.5)
    chosen = chosen_candidate(fine, shown)
    if chosen is not None:
        axes.axvline(dice_of(chosen), color=VERMILION, linestyle="dashed", label="chosen")
    cases = f" on {plural(shown[0].cases, 'case')}" if shown[0].cases else ""
    axes.set(xlabel=f"mean Dice with the super-network's weights{cases}", ylabel="candidates")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    figure.legend(loc="outside upper left", ncols=3)


def draw_pareto(figure: Figure, fine: FineSummary) -> None:
    """Draw Dice of the finalists against multiply-accumulates, with the Pareto front.

    Dropped candidates are left out: their Dice is on other cases.
    """
    axes = figure.subplots()
    known = fine.finalists
    unit, name = (1e9, "G") if max(each.macs for each in known) >= 1e9 else (1e6, "M")
    axes.scatter(*_points(known, unit), s=18, color=SKY, linewidths=0, label=f"on {plural(known[0].cases, 'case')}")
    front = pareto_front(known)
    axes.plot(*_points(front, unit), color=BLUE, marker="o", markersize=5, drawstyle="steps-post", label="front")
    chosen = chosen_candidate(fine, known)
    if chosen is not None:
        axes.scatter(*_points([chosen], unit), s=130, facecolors="none", edgecolors=VERMILION, linewidths=2, zorder=4)
        axes.scatter([], [], s=60, facecolors="none", edgecolors=VERMILION, linewidths=2, label="chosen")
    axes.set(xlabel=f"multiply-accumulates of a patch ({name})", ylabel="mean Dice")
    axes.xaxis.set_major_locator(MaxNLocator(7))
    figure.legend(loc="outside upper left", ncols=4, columnspacing=1.2, handletextpad=0.4)


def pareto_front(candidates: Sequence[RankedPath]) -> list[RankedPath]:
    """Return the candidates that no other beats in Dice and multiply-accumulates, the cheapest first."""
    on = is_on_front([(-dice_of(each), each.macs) for each in candidates])
    front = [each for each, stands in zip(candidates, on, strict=True) if stands]
    return sorted(front, key=lambda each: (each.macs, dice_of(each)))


def chosen_candidate(fine: FineSummary, among: Sequence[RankedPath]) -> RankedPath | None:
    """Return the candidate that the stage has chosen; None if it is not among those given."""
    return next((each for each in among if each.architecture == fine.chosen), None)


def _points(candidates: Sequence[RankedPath], unit: float) -> tuple[list[float], list[float]]:
    return [each.macs / unit for each in candidates], [dice_of(each) for each in candidates]


def draw_trust(figure: Figure, verification: dict[str, Any]) -> None:
    """Draw a dot for each retrained candidate; a bar joins two seeds of the same one."""
    axes = figure.subplots()
    for candidate in verification["candidates"]:
        if not candidate["dice"]:
            continue
        low, high = min(candidate["dice"]), max(candidate["dice"])
        axes.plot([candidate["ranked"]] * 2, [low, high], color=GREY, linewidth=2, zorder=2)
        axes.scatter([candidate["ranked"]] * len(candidate["dice"]), candidate["dice"], s=36, color=BLUE, zorder=3)
        axes.annotate(
            str(candidate["place"]),
            (candidate["ranked"], high),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.set(xlabel="Dice in the ranking (super-network's weights)", ylabel="Dice trained from scratch")
    axes.margins(0.12)
