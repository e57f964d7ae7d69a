"""The figure of the third stage: Dice against multiply-accumulates (paper 5.3, Table 4 drawn)."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from c2fnas.files import write_atomically

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#222222")
"""Okabe and Ito's palette, which colour-blind readers tell apart; markers tell classes apart in print too."""
MARKERS, DASHES = ("s", "^", "D", "v", "P", "X", "*"), ("-", "--", ":", "-.")
MEAN = {"color": "#222222", "marker": "o", "linewidth": 2.0}
INCHES = (6.4, 4.2)

Triple = tuple[int, int, int]


class Scaled(Protocol):
    """A width at a patch; ``macs`` are of one patch, ``dice`` is None where its training has failed."""

    @property
    def width(self) -> float: ...

    @property
    def patch(self) -> Triple: ...

    @property
    def macs(self) -> int: ...

    @property
    def dice(self) -> float | None: ...

    @property
    def per_class(self) -> Mapping[str, float | None] | None: ...


def save_scaling(rows: Sequence[Scaled], path: Path) -> None:
    """Write the figure; the suffix of ``path`` says as what (PNG, SVG, PDF)."""
    figure = Figure(figsize=INCHES, layout="constrained")
    draw_scaling(figure, rows)
    undated = {"Date": None} if path.suffix.lower() == ".svg" else None
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=160, metadata=undated))


def draw_scaling(figure: Figure, rows: Sequence[Scaled]) -> None:
    """A line for the mean and, where there are several, for each class; one line style for each size of patch."""
    axes = figure.subplots()
    scored = sorted((row for row in rows if row.dice is not None), key=lambda row: row.macs)
    patches = list(dict.fromkeys(row.patch for row in rows))
    names = list(dict.fromkeys(name for row in scored for name in row.per_class or {}))
    for patch, dash in zip(patches, cycle(DASHES), strict=False):
        own = [row for row in scored if row.patch == patch]
        size = f", {'×'.join(map(str, patch))}" if len(patches) > 1 else ""
        _line(axes, own, [row.dice for row in own], {**MEAN, "label": f"mean{size}", "linestyle": dash})
        for name, colour, marker in zip(names if len(names) > 1 else [], cycle(COLOURS), cycle(MARKERS), strict=False):
            look = {"color": colour, "marker": marker, "linewidth": 1.2, "linestyle": dash}
            _line(axes, own, [(row.per_class or {}).get(name) for row in own], {**look, "label": f"{name}{size}"})
        _widths(axes, own)
    axes.set(xscale="log", xlabel="multiply-accumulates of a patch", ylabel="Dice (%)")
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.grid(color="#E8E8E8", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    if scored:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, frameon=False)


def _line(axes: Axes, rows: Sequence[Scaled], dice: Sequence[float | None], look: dict[str, object]) -> None:
    """A point for each row that has a Dice, joined in the order of cost."""
    points = [(row.macs, 100 * value) for row, value in zip(rows, dice, strict=True) if value is not None]
    axes.plot([x for x, _ in points], [y for _, y in points], markersize=5, **look)  # type: ignore[arg-type]


def _widths(axes: Axes, rows: Sequence[Scaled]) -> None:
    """The width multiplier beside each mean."""
    for row in rows:
        if row.dice is not None:
            axes.annotate(
                f"{row.width:g}", (row.macs, 100 * row.dice), xytext=(0, 6), textcoords="offset points",
                ha="center", fontsize=8,
            )  # fmt: skip
