"""Dice against multiply-accumulates: what is drawn is what the rows hold."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from c2fnas.api.runs import Run
from c2fnas.errors import UserError
from c2fnas.report.figures.scaling import draw_scaling, save_scaling

PATCH, LARGER = (32, 32, 32), (64, 64, 64)


@dataclass(frozen=True)
class Row:
    width: float
    macs: int
    dice: float | None
    per_class: dict[str, float | None] | None
    patch: tuple[int, int, int] = PATCH
    spread: float | None = None


ROWS = (
    Row(0.5, 4_000, 0.7, {"organ": 0.9, "lesion": 0.5}),
    Row(0.25, 1_000, 0.8, {"organ": 0.8, "lesion": None}),
    Row(1.0, 16_000, None, None),
)


def drawn(*rows: Row) -> dict[str, tuple[list[float], list[float], str]]:
    figure = Figure()
    draw_scaling(figure, rows)
    (axes,) = figure.axes
    return {
        str(line.get_label()): (list(line.get_xdata()), list(line.get_ydata()), str(line.get_linestyle()))
        for line in axes.lines
    }


def test_lines_run_in_the_order_of_cost_and_leave_out_what_has_no_dice() -> None:
    lines = drawn(*ROWS)
    assert lines["mean"][:2] == ([1000, 4000], pytest.approx([0.8, 0.7]))
    assert lines["organ"][:2] == ([1000, 4000], pytest.approx([0.8, 0.9]))
    assert lines["lesion"][:2] == ([4000], pytest.approx([0.5]))


def test_one_class_is_its_own_mean() -> None:
    assert list(drawn(Row(0.5, 4000, 0.7, {"organ": 0.7}))) == ["mean"]


def test_each_patch_has_its_line() -> None:
    larger = Row(0.5, 32_000, 0.75, {"organ": 0.75}, LARGER)
    lines = drawn(Row(0.5, 4000, 0.7, {"organ": 0.7}), larger)
    assert lines["mean, 64×64×64"][:2] == ([32_000], pytest.approx([0.75]))
    assert lines["mean, 32×32×32"][2] != lines["mean, 64×64×64"][2]


def test_bars_are_as_long_as_trainings_differ() -> None:
    figure = Figure()
    draw_scaling(figure, [replace(ROWS[0], spread=0.05), *ROWS[1:]])
    (bars,) = [each for each in figure.axes[0].collections if isinstance(each, LineCollection)]
    (bar,) = bars.get_segments()
    assert bar.tolist() == [[4000, pytest.approx(0.65)], [4000, pytest.approx(0.75)]]


def test_lines_differ_by_more_than_colour() -> None:
    figure = Figure()
    draw_scaling(figure, ROWS)
    looks = {(line.get_marker(), line.get_color()) for line in figure.axes[0].lines}
    assert len({marker for marker, _ in looks}) == len({colour for _, colour in looks}) == 3


def test_files_of_every_kind(tmp_path: Path) -> None:
    for suffix, sign in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        save_scaling(ROWS, tmp_path / f"figure{suffix}")
        assert (tmp_path / f"figure{suffix}").read_bytes().startswith(sign)
    save_scaling(ROWS[2:], tmp_path / "nothing.png")
    assert (tmp_path / "nothing.png").exists()


def test_a_kind_that_is_none_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.png, \.svg or \.pdf"):
        Run(tmp_path / "no run", {}).scale(figure=tmp_path / "figure.jpeg")
