"""The fine stage's candidates: how their Dice is distributed, and the finalists' Dice against cost with the front."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from c2fnas.report.facts.fine import Candidate, FineFacts
from c2fnas.report.figures.style import BLUE, PALE, SKY, VERMILION
from c2fnas.report.words import plural
from c2fnas.search.ranks import is_on_front


def draw_distribution(figure: Figure, fine: FineFacts) -> None:
    """A histogram of Dice on the same cases for all; those that were dropped are pale, the chosen one is marked."""
    axes = figure.subplots()
    shown = fine.comparable
    bins = np.histogram_bin_edges([each.dice for each in shown], bins=min(30, max(8, len(shown) // 6)))
    finalists = {each.architecture for each in fine.finalists}
    dropped = [each.dice for each in shown if each.architecture not in finalists]
    groups = [[each.dice for each in shown if each.architecture in finalists], *([dropped] if dropped else [])]
    colours, names = [BLUE, PALE][: len(groups)], ["finalists", "dropped before"][: len(groups)]
    axes.hist(groups, bins=list(bins), stacked=True, color=colours, label=names, edgecolor="white", linewidth=0.5)
    chosen = chosen_candidate(fine, shown)
    if chosen is not None:
        axes.axvline(chosen.dice, color=VERMILION, linestyle="dashed", label="chosen")
    cases = f" on {plural(shown[0].cases, 'case')}" if shown[0].cases else ""
    axes.set(xlabel=f"mean Dice with the super-network's weights{cases}", ylabel="candidates")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    figure.legend(loc="outside upper left", ncols=3)


def draw_pareto(figure: Figure, fine: FineFacts) -> None:
    """Dice of the finalists against multiply-accumulates; the front is what none of them beats in both.

    Those that were dropped before have a Dice on other cases, which no axis of this one can show.
    """
    axes = figure.subplots()
    known = [each for each in fine.finalists if each.macs is not None]
    unit, name = _unit(known)
    axes.scatter(*_points(known, unit), s=18, color=SKY, linewidths=0, label=_scored_on(known))
    front = pareto_front(known)
    axes.plot(*_points(front, unit), color=BLUE, marker="o", markersize=5, drawstyle="steps-post", label="front")
    chosen = chosen_candidate(fine, known)
    if chosen is not None:
        axes.scatter(*_points([chosen], unit), s=130, facecolors="none", edgecolors=VERMILION, linewidths=2, zorder=4)
        axes.scatter([], [], s=60, facecolors="none", edgecolors=VERMILION, linewidths=2, label="chosen")
    axes.set(xlabel=f"multiply-accumulates of a patch ({name})", ylabel="mean Dice")
    axes.xaxis.set_major_locator(MaxNLocator(7))
    figure.legend(loc="outside upper left", ncols=4, columnspacing=1.2, handletextpad=0.4)


def pareto_front(candidates: list[Candidate]) -> list[Candidate]:
    """The candidates that no other beats in Dice and multiply-accumulates, the cheapest first."""
    if not candidates:
        return []
    on = is_on_front([(-each.dice, float(each.macs or 0)) for each in candidates])
    front = [each for each, stands in zip(candidates, on, strict=True) if stands]
    return sorted(front, key=lambda each: (each.macs or 0, each.dice))


def chosen_candidate(fine: FineFacts, among: Sequence[Candidate]) -> Candidate | None:
    """The one of some candidates that the stage has chosen; None where it is not among them."""
    return next((each for each in among if each.architecture == fine.chosen), None)


def _scored_on(candidates: Sequence[Candidate]) -> str:
    cases = candidates[0].cases
    return f"on all {cases} cases" if cases else "candidates"


def _unit(candidates: list[Candidate]) -> tuple[float, str]:
    return (1e9, "G") if max((each.macs or 0 for each in candidates), default=0) >= 1e9 else (1e6, "M")


def _points(candidates: list[Candidate], unit: float) -> tuple[list[float], list[float]]:
    return [(each.macs or 0) / unit for each in candidates], [each.dice for each in candidates]
