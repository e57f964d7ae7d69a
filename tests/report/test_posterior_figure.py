"""The figure of a coarse stage's posterior, from the file that the stage leaves."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from c2fnas.files import write_json
from c2fnas.report.figures.coarse import draw_posterior
from c2fnas.report.figures.style import VERMILION
from c2fnas.runs.records.coarse_posterior import CoarsePosterior


@pytest.fixture
def posterior(tmp_path: Path) -> CoarsePosterior:
    topologies = [
        {"code": [0, 1, 0], "macs": 5, "scores": [0.8], "mean": 0.79, "deviation": 0.01},
        {"code": [1, 1, 0], "macs": 9, "scores": [0.82, 0.84], "mean": 0.82, "deviation": 0.005},
        {"code": [1, 0, 0], "macs": 4, "scores": [0.81], "mean": 0.815, "deviation": 0.006},
    ]
    known = {"margin": 0.01, "answer": [1, 0, 0], "left": 0.1, "doubt": 0.2, "gain": 0.004}
    known |= {"spread": [0.01, 0.005, 0.02], "seed_noise": [0.006, 0.004, 0.009], "unused": 0, "saved": 0.0}
    write_json(tmp_path / "posterior.json", known | {"topologies": topologies})
    return CoarsePosterior.load(tmp_path / "posterior.json")


def test_the_best_expected_is_first(posterior: CoarsePosterior) -> None:
    assert [each.code for each in posterior.topologies] == [(1, 1, 0), (1, 0, 0), (0, 1, 0)]
    assert posterior.answer == (1, 0, 0)


def test_every_training_is_a_dot_and_the_one_taken_is_marked(posterior: CoarsePosterior) -> None:
    figure = Figure()
    draw_posterior(figure, posterior)
    (axes,) = figure.axes
    expected, trainings = axes.collections[-2:]
    assert expected.get_offsets().tolist() == [[1, 0.82], [2, 0.815], [3, 0.79]]
    assert sorted(trainings.get_offsets().tolist()) == [[1, 0.82], [1, 0.84], [2, 0.81], [3, 0.8]]
    (mark,) = axes.texts
    assert (mark.get_text(), mark.xy, mark.get_color()) == ("taken", (2, 0.815), VERMILION)
