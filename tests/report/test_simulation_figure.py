"""The figure of a simulation: three panels on the figure that is given, and matplotlib stays as it was."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from c2fnas.bench import Band, Comparison, Contender, Entry
from c2fnas.report.figures.simulation import draw_simulation, save_simulation
from c2fnas.report.figures.style import COLOURS
from c2fnas.space.search_space import SearchSpace

GRID = np.arange(1, 6)
SCORES = {topology: 0.5 + 0.01 * n for n, topology in enumerate(SearchSpace(cells=4, downsamplings=1).topologies())}


def contender(sampler: str, *, stopping: bool = False) -> Contender:
    band = Band(0.1 / GRID, 0.05 / GRID, 0.2 / GRID)
    return Contender(
        entry=Entry.parse(sampler),
        early_stopping=stopping,
        final=np.full((3, 1), 0.02),
        cost=np.full((3, 1), 5.0),
        price=np.ones((3, 1)),
        repetitions=3,
        by_networks=band,
        by_cost=band,
    )


@pytest.fixture
def comparison() -> Comparison:
    searches = (contender("algorithm1"), contender("algorithm1", stopping=True), contender("random"))
    return Comparison(searches, GRID, GRID.astype(float))


def test_samplers_have_the_colours_of_the_report(comparison: Comparison) -> None:
    figure = Figure()
    draw_simulation(figure, comparison, SCORES)
    left, middle, right = figure.axes
    for axes in (left, middle):
        assert [line.get_color() for line in axes.lines] == [COLOURS[0], COLOURS[0], COLOURS[1]]
        assert [line.get_linestyle() for line in axes.lines] == ["-", "--", "-"]
    assert len(right.collections[0].get_offsets()) == len(SCORES) * (len(SCORES) - 1) // 2


def test_matplotlib_stays_as_it_was(comparison: Comparison, tmp_path: Path) -> None:
    before = matplotlib.get_backend()
    files = [tmp_path / name for name in ("a.svg", "b.svg")]
    for file in files:
        save_simulation(comparison, SCORES, file)
    assert matplotlib.get_backend() == before
    assert ">regret (Dice)</text>" in files[0].read_text()
