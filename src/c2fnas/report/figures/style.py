"""One look for all figures: colours that colour-blind readers can tell apart, plain axes, text that stays text."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from cycler import cycler
from matplotlib import rc_context
from matplotlib.figure import Figure

from c2fnas.files import write_atomically, write_text
from c2fnas.inference.preview import class_look
from c2fnas.space.operation import Operation

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW = "#56B4E9", "#CC79A7", "#F0E442"
BLACK, GREY, PALE = "#222222", "#7A7A7A", "#DDDDDD"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, GREY, YELLOW)
"""Okabe and Ito's palette, safe for all common kinds of colour blindness, grey for its black; the palest comes last."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<")
"""One more than colours: a pair of both comes again after 72 only."""

OPERATION_COLOURS = {Operation.CONV3D: BLUE, Operation.P3D: ORANGE, Operation.CONV2D: GREEN}
OPERATION_MARKERS = {Operation.CONV3D: "s", Operation.P3D: "D", Operation.CONV2D: "o"}
DICE_MAP = "cividis"

NARROW, WIDE = 4.7, 9.2
"""Inches. Narrow figures stay legible at the width of a phone; wide ones are scrolled there."""

EDGE: dict[str, Any] = {"edgecolors": BLACK, "linewidths": 0.4}
"""Of dots in the colours of classes, of which some are pale on white."""

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 10,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": BLACK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=COLOURS),
    "xtick.color": BLACK,
    "ytick.color": BLACK,
    "text.color": BLACK,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 160,
    "svg.fonttype": "none",
}


MOST_COLUMNS = 4
"""Of a legend, however short its names."""


def legend_columns(names: Sequence[str], *, size: float = 9) -> int:
    """Return how many columns of a legend with these names fit a narrow figure, in letters of ``size`` points.

    >>> legend_columns(["liver", "spleen"]), legend_columns(["left atrial appendage"] * 9)
    (2, 2)
    """
    column = (4 + 0.5 * max(map(len, names), default=0)) * size / 72  # inches: handle and gaps, then the longest name
    return max(1, min(MOST_COLUMNS, len(names), int(NARROW / column)))


def series_look(index: int) -> dict[str, Any]:
    """Return colour and marker of a cluster or a run, from 0: the same in every figure."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def legend_name(name: str) -> str:
    """Return a name as a legend has it: Matplotlib leaves out those that begin with an underscore."""
    return f"\u200b{name}" if name.startswith("_") else name


def class_series(index: int) -> dict[str, Any]:
    """Return colour and marker of a class, from 1: the colour that it has on images too."""
    return {"color": class_look(index)[0], "marker": MARKERS[(index - 1) % len(MARKERS)]}


@dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Attributes:
        name: of its files, without a suffix; also begins its identifiers in the page.
        caption: what it shows and how to read it.
        alt: a short description for those who can't see it.
        svg: as text.
        png: as bytes.
        csv: the data behind it.
        wide: True if it has the page's whole width.
    """

    name: str
    caption: str
    alt: str
    svg: str
    png: bytes
    csv: str
    wide: bool

    @property
    def inline(self) -> str:
        """The SVG as it stands inside a page: no header, scaled by the page, and no identifier that another one has."""
        body = self.svg[self.svg.index("<svg") :]
        body = re.sub(r"<metadata>.*?</metadata>", "", body, count=1, flags=re.DOTALL)
        body = re.sub(r'\bid="', f'id="{self.name}-', body)
        body = re.sub(r'(xlink:href="|url\()#', rf"\g<1>#{self.name}-", body)
        head, rest = body.split(">", 1)
        head = re.sub(r'\s(width|height)="[^"]*"', "", head)
        return f'{head} role="img" aria-label="{escape(self.alt)}">{rest}'

    def save(self, folder: Path) -> None:
        """Write ``NAME.svg``, ``NAME.png`` and ``NAME.csv`` into ``folder``."""
        write_text(folder / f"{self.name}.svg", self.svg)
        write_text(folder / f"{self.name}.csv", self.csv)
        write_atomically(folder / f"{self.name}.png", lambda path: path.write_bytes(self.png))


def picture(
    name: str,
    draw: Callable[[Figure], None],
    *,
    caption: str,
    alt: str,
    csv: str = "",
    height: float = 3.3,
    wide: bool = False,
) -> Picture:
    """Draw a figure; ``height`` is in inches. The same values give the same bytes."""
    with rc_context(STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(WIDE if wide else NARROW, height), layout="constrained")
        draw(figure)
        svg, png = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
        figure.set_layout_engine("none")  # everything has its place by now
        figure.savefig(png, format="png")
    return Picture(name, caption, alt, svg.getvalue(), png.getvalue(), csv, wide)


def save_figure(draw: Callable[[Figure], None], path: Path, *, width: float = WIDE, height: float = 3.3) -> None:
    """Draw a figure into a file of its own; its suffix selects the format (SVG, PNG, PDF)."""
    with rc_context(STYLE | {"svg.hashsalt": path.stem}):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        # What would differ from one drawing to the next is left out.
        metadata: dict[str, Any] | None = {"Date": None} if path.suffix.lower() == ".svg" else None
        write_atomically(path, lambda temporary: figure.savefig(temporary, metadata=metadata))
