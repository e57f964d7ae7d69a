"""The figure of the third stage: Dice against multiply-accumulates (paper 5.3, Table 4 drawn)."""

from collections.abc import Sequence
from functools import partial
from itertools import cycle
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from c2fnas.report.figures.style import BLACK, class_series, save_figure
from c2fnas.studies.widths import Scaled
from c2fnas.text import crossed

DASHES = ("-", "--", ":", "-.")
MEAN = {"color": BLACK, "marker": "h", "linewidth": 2.0}  # no class has this marker
INCHES = (6.4, 4.2)


def save_scaling(rows: Sequence[Scaled], path: Path) -> None:
    """Write the figure; the suffix of ``path`` selects the format (PNG, SVG, PDF)."""
    save_figure(partial(draw_scaling, rows=rows), path, width=INCHES[0], height=INCHES[1])


def draw_scaling(figure: Figure, rows: Sequence[Scaled]) -> None:
    """Draw a line for the mean and, of several classes, for each; each size of patch has a line style.

    Bars are a standard deviation between trainings to either side of their mean, where a width has several.
    """
    axes = figure.subplots()
    scored = sorted((row for row in rows if row.dice is not None), key=lambda row: row.macs)
    patches = list(dict.fromkeys(row.patch for row in rows))
    names = list(dict.fromkeys(name for row in scored for name in row.per_class or {}))
    for patch, dash in zip(patches, cycle(DASHES), strict=False):
        own = [row for row in scored if row.patch == patch]
        size = f", {crossed(patch)}" if len(patches) > 1 else ""
        _line(axes, own, [row.dice for row in own], {**MEAN, "label": f"mean{size}", "linestyle": dash})
        _bars(axes, own)
        for index, name in enumerate(names if len(names) > 1 else [], start=1):
            look = {
                **class_series(index),
                "markeredgecolor": BLACK,
                "markeredgewidth": 0.4,
                "linewidth": 1.2,
                "linestyle": dash,
                "label": f"{name}{size}",
            }
            _line(axes, own, [(row.per_class or {}).get(name) for row in own], look)
        _widths(axes, own)
    axes.set(xscale="log", xlabel="multiply-accumulates of a patch", ylabel="Dice")
    axes.xaxis.set_major_formatter(EngFormatter())
    if scored:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)


def _line(axes: Axes, rows: Sequence[Scaled], dice: Sequence[float | None], look: dict[str, object]) -> None:
    points = [(row.macs, value) for row, value in zip(rows, dice, strict=True) if value is not None]
    axes.plot([x for x, _ in points], [y for _, y in points], markersize=5, **look)  # type: ignore[arg-type]


def _bars(axes: Axes, rows: Sequence[Scaled]) -> None:
    for row in rows:
        if row.dice is not None and row.spread is not None:
            axes.errorbar(row.macs, row.dice, yerr=row.spread, fmt="none", ecolor=BLACK, elinewidth=1)


def _widths(axes: Axes, rows: Sequence[Scaled]) -> None:
    for row in rows:
        if row.dice is not None:
            axes.annotate(
                f"{row.width:g}",
                (row.macs, row.dice),
                xytext=(0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
