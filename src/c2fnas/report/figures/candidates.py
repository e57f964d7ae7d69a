"""The fine stage's candidates: how their Dice is distributed, and Dice against cost with the Pareto front."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from c2fnas.report.facts.fine import Candidate, FineFacts
from c2fnas.report.figures.style import BLUE, PALE, SKY, VERMILION
from c2fnas.search.pareto import is_on_front


def draw_distribution(figure: Figure, fine: FineFacts) -> None:
    """A histogram of Dice; candidates that were scored on fewer cases are pale, the chosen one is marked."""
    axes = figure.subplots()
    finalists = fine.finalists
    others = fine.candidates[len(finalists) :]
    bins = np.histogram_bin_edges(
        [each.dice for each in fine.candidates], bins=min(30, max(8, len(fine.candidates) // 6))
    )
    groups, colours, names = [[each.dice for each in finalists]], [BLUE], [_scored_on(finalists)]
    if others:
        groups.append([each.dice for each in others])
        colours.append(PALE)
        names.append("on fewer cases")
    axes.hist(groups, bins=list(bins), stacked=True, color=colours, label=names, edgecolor="white", linewidth=0.5)
    chosen = chosen_candidate(fine)
    if chosen is not None:
        axes.axvline(chosen.dice, color=VERMILION, linestyle="dashed", label="chosen")
    axes.set(xlabel="mean Dice with the super-network's weights", ylabel="candidates")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    figure.legend(loc="outside upper left", ncols=3)


def draw_pareto(figure: Figure, fine: FineFacts) -> None:
    """Dice against multiply-accumulates; the front is what no other comparable candidate beats in both."""
    axes = figure.subplots()
    known = [each for each in fine.finalists if each.macs is not None]
    unit, name = _unit(known)
    others = [each for each in fine.candidates[len(fine.finalists) :] if each.macs is not None]
    axes.scatter(*_points(others, unit), s=14, color=PALE, linewidths=0, label="on fewer cases" if others else None)
    axes.scatter(*_points(known, unit), s=18, color=SKY, linewidths=0, label=_scored_on(fine.finalists))
    front = pareto_front(known)
    axes.plot(*_points(front, unit), color=BLUE, marker="o", markersize=5, drawstyle="steps-post", label="front")
    chosen = chosen_candidate(fine)
    if chosen is not None and chosen.macs is not None:
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


def chosen_candidate(fine: FineFacts) -> Candidate | None:
    """The candidate that the stage has chosen."""
    return next((each for each in fine.candidates if each.architecture == fine.chosen), None)


def _scored_on(candidates: tuple[Candidate, ...]) -> str:
    cases = candidates[0].cases
    return f"on all {cases} cases" if cases else "candidates"


def _unit(candidates: list[Candidate]) -> tuple[float, str]:
    return (1e9, "G") if max((each.macs or 0 for each in candidates), default=0) >= 1e9 else (1e6, "M")


def _points(candidates: list[Candidate], unit: float) -> tuple[list[float], list[float]]:
    return [(each.macs or 0) / unit for each in candidates], [each.dice for each in candidates]
