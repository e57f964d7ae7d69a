"""Figures: they draw what there is, the same facts give the same bytes, and several fit into one page."""

import csv
import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from report_runs import finished_run

from c2fnas.evaluation.metrics import CaseScores, Evaluation, summarise
from c2fnas.inference.preview import class_look, class_patch
from c2fnas.report.figures.architecture import architecture_height, draw_architecture
from c2fnas.report.figures.coarse import TopologyMap, draw_best_so_far
from c2fnas.report.figures.dice import by_case_height, by_class_height, draw_by_case, draw_by_class, spread
from c2fnas.report.figures.fine import pareto_front
from c2fnas.report.figures.sections import SECTIONS, draw_figures
from c2fnas.report.figures.style import NARROW, OPERATION_COLOURS, STYLE, class_series, picture, series_look
from c2fnas.report.figures.training import draw_losses, is_curve
from c2fnas.report.summary import read_report
from c2fnas.runs.records.job_record import Curve
from c2fnas.runs.records.ranked import RankedPath
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace

ORGANS = (
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "oesophagus",
    "liver",
    "stomach",
    "aorta",
    "postcava",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
    "duodenum",
    "bladder",
)


def drawn(architecture: Architecture) -> Figure:
    figure = Figure(figsize=(9, architecture_height(architecture)))
    draw_architecture(figure, architecture, network_cost(architecture, in_channels=1, classes=3, input_size=(96,) * 3))
    return figure


def test_the_architecture_has_its_cells_and_arrows() -> None:
    panc = Architecture.named("c2fnas-panc")
    path, costs = drawn(panc).axes
    texts = [text.get_text() for text in path.texts]
    assert texts == ["stem", *(operation.value for operation in panc.operations), "out"]
    arrows = [patch for patch in path.patches if type(patch).__name__ == "FancyArrowPatch"]
    second = sum(len(inputs) - 1 for inputs in (*panc.topology.inputs, panc.topology.outputs))
    assert len(arrows) == panc.topology.cells + 1 + second
    assert len(costs.patches) == panc.topology.cells + 2
    shares = sum(bar.get_height() for bar in costs.patches)  # type: ignore[attr-defined]
    assert shares == pytest.approx(149.6, abs=0.05)  # G multiply-accumulates, as `c2fnas describe` counts them


@pytest.mark.parametrize("text", ["0:3D @1", "1:3D 0:2D @0.25", "0:2D 0:3D 1:P3D 1:3D 0:3D 0:2D @0.5"])
def test_small_architectures_are_drawn_too(text: str) -> None:
    drawn(Architecture.from_text(text)).draw_without_rendering()


def test_every_topology_has_a_place_and_distances_do_not_grow(tmp_path: Path) -> None:
    coarse = read_report(finished_run(tmp_path).root).coarse
    plane = TopologyMap(coarse)
    topologies = SearchSpace(cells=4, downsamplings=1).topologies()
    places = plane.places(topologies)
    assert places.shape == (len(topologies), 2)
    assert 0 < plane.kept <= 1
    for one, here in zip(topologies, places, strict=True):
        for other, there in zip(topologies, places, strict=True):
            assert np.linalg.norm(here - there) <= one.distance(other) + 1e-9


def test_the_legend_hides_no_candidate(tmp_path: Path) -> None:
    """Not even a last one that is far below the others."""
    coarse = read_report(finished_run(tmp_path).root).coarse
    figure = Figure(figsize=(5, 3.3), layout="constrained")
    draw_best_so_far(figure, coarse)
    figure.draw_without_rendering()
    (axes,), (legend,) = figure.axes, figure.legends
    assert axes.get_legend() is None
    assert legend.get_window_extent().y0 >= axes.get_window_extent().y1


def test_the_front_is_what_nothing_beats() -> None:
    architecture = Architecture.named("c2fnas-panc")
    points = [(0.5, 10), (0.6, 20), (0.55, 30), (0.7, 40), (0.4, 5), (0.4, 6)]
    candidates = [RankedPath(n, architecture, dice, 1, macs, 7) for n, (dice, macs) in enumerate(points)]
    assert [(each.dice, each.macs) for each in pareto_front(candidates)] == [(0.4, 5), (0.5, 10), (0.6, 20), (0.7, 40)]


def test_equal_values_are_set_apart() -> None:
    offsets = spread([0.5] * 7 + [0.9])
    assert len(set(offsets[:7].tolist())) == 7
    assert abs(offsets).max() <= 0.26
    assert offsets[7] == 0


def test_colours_of_operations_differ_in_lightness() -> None:
    """Told apart in grey too, as on a printed page or by the colour-blind."""
    lightness = []
    for operation in Operation:
        red, green, blue = (int(OPERATION_COLOURS[operation][start : start + 2], 16) for start in (1, 3, 5))
        lightness.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    gaps = np.diff(sorted(lightness))
    assert min(gaps) > 15


def test_many_series_and_classes_look_different() -> None:
    series = [tuple(series_look(index).values()) for index in range(72)]
    assert len(set(series)) == 72
    assert len({tuple(class_series(index).values()) for index in range(1, 43)}) == 42
    classes = [class_look(index) for index in range(1, 43)]
    assert len(set(classes)) == 42


def many_classes(names: Sequence[str], cases: int = 12) -> Evaluation:
    dice = np.random.default_rng(0).beta(8, 2, (cases, len(names)))
    return summarise([CaseScores(f"case_{n}", dict(zip(names, row, strict=True))) for n, row in enumerate(dice)])


def overlapping(texts: Sequence[Text]) -> bool:
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    return any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_names_of_many_classes_stand_apart() -> None:
    evaluation = many_classes(ORGANS)
    figure = Figure(figsize=(NARROW, by_class_height(len(ORGANS))), layout="constrained")
    draw_by_class(figure, evaluation)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(ORGANS)
    assert not overlapping([*axes.get_yticklabels(), *axes.texts])


def test_a_legend_of_many_classes_stays_on_the_figure() -> None:
    rows = many_classes(ORGANS).cases
    with rc_context(STYLE):
        figure = Figure(figsize=(NARROW, by_case_height(len(rows), ORGANS)), layout="constrained")
        draw_by_case(figure, rows)
        figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert figure.axes[0].get_window_extent().height > 0.5 * figure.bbox.height


def test_the_same_facts_give_the_same_bytes() -> None:
    panc = Architecture.named("c2fnas-panc")
    cost = network_cost(panc, in_channels=1, classes=3, input_size=(96,) * 3)
    draw = partial(draw_architecture, architecture=panc, cost=cost)
    first, second = (picture("panc", draw, caption="", alt="", height=5, wide=True) for _ in range(2))
    assert (first.svg, first.png) == (second.svg, second.png)


def test_one_page_holds_them_all(tmp_path: Path) -> None:
    pictures = draw_figures(read_report(finished_run(tmp_path).root))
    assert tuple(pictures) == SECTIONS
    first = [each for section in pictures.values() for each in section]
    assert len(first) == len({each.name for each in first}) >= 14
    page = ElementTree.fromstring(f"<div>{''.join(each.inline for each in first)}</div>")
    names = [element.attrib["id"] for element in page.iter() if "id" in element.attrib]
    assert len(names) == len(set(names))
    known = set(names)
    for each in first:
        for target in re.findall(r'(?:xlink:href="|url\()#([^")]+)', each.inline):
            assert target in known


def test_a_class_has_one_colour_in_plots_and_on_images() -> None:
    evaluation = many_classes(ORGANS[:5])
    figure = Figure()
    draw_by_class(figure, evaluation)
    dots = [to_hex(each.get_facecolor()[0]) for each in figure.axes[0].collections]
    figure = Figure()
    draw_by_case(figure, evaluation.cases)
    marks = [to_hex(each.get_facecolor()[0]) for each in figure.axes[0].collections[1:]]
    patches = [to_hex(class_patch(index, "").get_edgecolor()) for index in range(1, 6)]
    assert dots == marks == patches == [class_look(index)[0].lower() for index in range(1, 6)]


def test_the_data_of_every_figure_can_be_read(tmp_path: Path) -> None:
    pictures = [each for section in draw_figures(read_report(finished_run(tmp_path).root)).values() for each in section]
    tables = {each.name: [*csv.DictReader(io.StringIO(each.csv))] for each in pictures}
    assert min(map(len, tables.values())) > 1
    best = [float(row["best so far"]) for row in tables["coarse-best-so-far"]]
    assert best == [0.2, 0.5, 0.5, 0.6]
    for row in tables["figure-4-cluster-shares"]:
        assert sum(float(value) for name, value in row.items() if name.startswith("cluster")) == pytest.approx(1)
    assert [float(row["organ"]) for row in tables["dice-by-case"]] == [0.5, 0.7]
    assert sum(row["front"] == "True" for row in tables["fine-pareto"]) == 20  # the more it costs, the better


@pytest.mark.parametrize("points", [0, 1])
def test_a_curve_of_one_point_is_none(points: int) -> None:
    assert not is_curve(Curve(tuple(range(points)), (0.5,) * points))
    figure = Figure()
    curve = Curve((1, 2, 3), (0.5, 0.4, 0.3), 1.0, (3,) * points, (0.8,) * points)
    draw_losses(figure, [("fold 0", curve)])
    assert len(figure.axes) == 1


def test_text_stays_text() -> None:
    shown = picture("a", lambda figure: figure.subplots().set_xlabel("Dice"), caption="", alt="x")
    assert ">Dice</text>" in shown.svg
    assert shown.png.startswith(b"\x89PNG")


def test_names_are_drawn_as_they_are() -> None:
    """Neither a formula nor, with an underscore in front, an entry that a legend leaves out."""
    rows = tuple(CaseScores(name, {"a$_$": 0.5, "_tumour": 0.6}) for name in ("$x^$", "case$1_$2"))
    with rc_context(STYLE):
        figure = Figure(figsize=(NARROW, by_case_height(len(rows), ("a$_$", "_tumour"))), layout="constrained")
        draw_by_case(figure, rows)
        figure.draw_without_rendering()
    assert {text.get_text().lstrip("\u200b") for text in figure.legends[0].get_texts()} >= {"a$_$", "_tumour"}
