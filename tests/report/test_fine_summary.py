"""Candidates that were dropped early and those that went on: what a report may compare, and what it may not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from report_runs import finished_run

from c2fnas.report.figures.fine import draw_distribution, draw_pareto
from c2fnas.report.figures.sections import draw_figures
from c2fnas.report.fine import FineSummary, operation_effects
from c2fnas.report.summary import read_report
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder

CANDIDATES, FINALISTS, HARDER = 20, 5, 0.2
FIRST = [0.3 + 0.02 * number for number in range(CANDIDATES)]


def halved_run(root: Path, *, told: bool = True, **changes: Any) -> RunFolder:
    """A run whose best five candidates went on from one case to four, harder ones; ``told``: by this version."""
    went_on = [number >= CANDIDATES - FINALISTS for number in range(CANDIDATES)]
    kept = [
        {"cases": 4 if on else 1} | ({"first_rung_dice": dice, "first_rung_cases": 1} if told else {})
        for on, dice in zip(went_on, FIRST, strict=True)
    ]
    ranked = [dice - HARDER * on for dice, on in zip(FIRST, went_on, strict=True)]
    return finished_run(root, ranked=ranked, kept=kept, **changes)


def fine_of(folder: RunFolder) -> FineSummary:
    return read_report(folder.root).fine


def captions(folder: RunFolder) -> dict[str, str]:
    return {each.name: each.caption for each in draw_figures(read_report(folder.root))["fine"]}


def test_all_candidates_are_compared_on_the_cases_that_they_share(tmp_path: Path) -> None:
    fine = fine_of(halved_run(tmp_path))
    assert len(fine.finalists) == FINALISTS
    assert sorted(each.dice for each in fine.comparable) == pytest.approx(FIRST)
    assert {each.cases for each in fine.comparable} == {1}


def test_effects_are_those_of_a_ranking_that_drops_none(tmp_path: Path) -> None:
    """Going on to harder cases lowers a mean; no operation is blamed for it."""
    fine, whole = fine_of(halved_run(tmp_path / "halved")), fine_of(finished_run(tmp_path / "whole", ranked=FIRST))
    found = operation_effects(fine.comparable, fine.operations)
    expected = operation_effects(whole.comparable, whole.operations)
    assert [each.mean for each in found] == pytest.approx([each.mean for each in expected])


def test_of_an_older_ledger_the_finalists_are_compared(tmp_path: Path) -> None:
    folder = halved_run(tmp_path, told=False)
    fine, told = fine_of(folder), captions(folder)
    assert fine.comparable == fine.finalists
    assert "the 5 finalists on 4 cases" in told["fine-effects"]
    assert "no independent draws" in told["fine-effects"]
    assert "the 5 finalists on 4 cases" in told["fine-candidates"]


def test_candidates_that_evolution_bred_are_no_independent_draws(tmp_path: Path) -> None:
    folder = halved_run(tmp_path)
    told = captions(folder)
    assert "all 20 candidates on the 1 case of the first rung" in told["fine-effects"]
    assert "no independent draws" not in told["fine-effects"]
    config = RunConfig.load(folder.config)
    config.model_copy(update={"fine": config.fine.model_copy(update={"choose": "evolution"})}).save(folder.config)
    assert "no independent draws" in captions(folder)["fine-effects"]


def test_the_distribution_has_one_scale_and_the_chosen_one_on_it(tmp_path: Path) -> None:
    fine = fine_of(halved_run(tmp_path))
    figure = Figure()
    draw_distribution(figure, fine)
    (axes,) = figure.axes
    assert sum(bar.get_height() for bar in axes.patches) == CANDIDATES  # type: ignore[attr-defined]
    (line,) = axes.lines
    assert set(line.get_xdata()) == {max(FIRST)}
    assert "on 1 cases" not in axes.get_xlabel()


@pytest.mark.parametrize("told", [True, False])
def test_the_front_is_drawn_among_finalists_alone(tmp_path: Path, told: bool) -> None:
    """Those that were dropped on easier cases would lie above it."""
    fine = fine_of(halved_run(tmp_path, told=told))
    figure = Figure()
    draw_pareto(figure, fine)
    shown = np.concatenate([each.get_offsets() for each in figure.axes[0].collections])
    assert len(shown) == FINALISTS + 1  # and the ring about the chosen one
    assert max(dice for _, dice in shown) == pytest.approx(max(FIRST) - HARDER)


def test_one_dice_of_all_is_no_difference_though_finalists_saw_other_cases(tmp_path: Path) -> None:
    kept = [{"cases": 4 if n < 5 else 1, "first_rung_dice": 0.5, "first_rung_cases": 1} for n in range(CANDIDATES)]
    fine = fine_of(finished_run(tmp_path, ranked=[0.3] * 5 + [0.5] * 15, kept=kept))
    assert not fine.tells_apart
