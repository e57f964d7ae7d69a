import pytest

from c2fnas.errors import UserError
from c2fnas.search.width_grid import scaling_grid
from c2fnas.space.architecture import Architecture

PANC = Architecture.named("c2fnas-panc")


def test_grid_of_the_paper():
    grid = scaling_grid(PANC)
    assert [architecture.width for architecture in grid] == [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
    assert {architecture.topology for architecture in grid} == {PANC.topology}
    assert {architecture.operations for architecture in grid} == {PANC.operations}
    assert PANC in grid


def test_the_architectures_own_width_counts_for_nothing():
    assert scaling_grid(scaling_grid(PANC)[0]) == scaling_grid(PANC)


def test_widths_of_ones_own():
    assert [architecture.width for architecture in scaling_grid(PANC, (3.0, 0.125))] == [3.0, 0.125]


@pytest.mark.parametrize(
    ("widths", "fault"),
    [((), "at least one"), ((1.0, 1), "given twice"), ((0.3,), "whole number"), ((-1.0,), "positive")],
)
def test_impossible_widths_are_refused(widths: tuple[float, ...], fault: str):
    with pytest.raises(UserError, match=fault):
        scaling_grid(PANC, widths)
