"""Figures of several runs: mean Dice with intervals, Dice against cost, and the fronts of their searches."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from c2fnas.report.comparison import ComparedRun, RunsSummary
from c2fnas.report.figures.dice import shortened
from c2fnas.report.figures.fine import pareto_front
from c2fnas.report.figures.rows import Rows
from c2fnas.report.figures.sections import Entry, draw_entry
from c2fnas.report.figures.style import Picture, series_look
from c2fnas.report.fine import dice_of
from c2fnas.runs.records.ranked import RankedPath


def draw_runs(runs: RunsSummary) -> tuple[Picture, ...]:
    """Draw the figures that several runs have something to show for."""
    return tuple(draw_entry(entry) for entry in _entries(runs))


def _entries(runs: RunsSummary) -> Iterator[Entry]:
    scored = [(index, run) for index, run in enumerate(runs.runs) if run.dice is not None]
    if scored:
        height = max(1.8, 0.9 + 0.4 * len(scored))
        rows = [{"run": run.name, **vars(run.dice)} for _, run in scored]
        yield Entry("runs", "runs-dice", partial(draw_dice, runs=scored), rows, height)
    fronts = [(index, run, front) for index, run in enumerate(runs.runs) if len(front := _front(run)) > 1]
    if fronts:
        yield Entry("runs", "runs-fronts", partial(draw_fronts, fronts=fronts), _front_rows(fronts))


def draw_dice(figure: Figure, runs: Sequence[tuple[int, ComparedRun]]) -> None:
    """Draw the mean Dice of each run with its interval over cases."""
    axes = figure.subplots()
    for place, (index, run) in enumerate(runs):
        assert run.dice is not None
        look = series_look(index)
        if run.dice.low is not None and run.dice.high is not None:
            axes.plot([run.dice.low, run.dice.high], [place, place], color=look["color"], linewidth=2)
        axes.scatter([run.dice.mean], [place], s=50, zorder=3, **look)
    axes.set_yticks(range(len(runs)), [shortened(run.name) for _, run in runs])
    axes.set(xlabel="mean Dice", ylim=(len(runs) - 0.5, -0.5))
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)


def draw_fronts(figure: Figure, fronts: Sequence[tuple[int, ComparedRun, list[RankedPath]]]) -> None:
    """Draw the Pareto front of each run's finalists: Dice with the super-network's weights against their cost."""
    axes = figure.subplots()
    for index, run, front in fronts:
        costs, dice = [each.macs for each in front], [dice_of(each) for each in front]
        axes.plot(costs, dice, drawstyle="steps-post", markersize=6, label=shortened(run.name), **series_look(index))
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.set(xlabel="multiply-accumulates of a patch", ylabel="mean Dice in the ranking")
    figure.legend(loc="outside upper left", ncols=2)


def _front(run: ComparedRun) -> list[RankedPath]:
    return pareto_front(run.summary.fine.finalists) if run.summary.fine.finalists else []


def _front_rows(fronts: Sequence[tuple[int, ComparedRun, list[RankedPath]]]) -> Rows:
    def row(run: ComparedRun, each: RankedPath) -> dict[str, Any]:
        operations = " ".join(each.architecture.operations)
        return {"run": run.name, "macs": each.macs, "dice": each.dice, "cases": each.cases, "operations": operations}

    return [row(run, each) for _, run, front in fronts for each in front]
