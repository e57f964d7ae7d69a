"""Figure 6: image, truth and prediction on the most telling slices of a case."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from c2fnas.report.figures.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, YELLOW, legend_columns
from c2fnas.report.overlays import Overlay, Slice

CLASS_COLOURS = (
    ORANGE,
    SKY,
    YELLOW,
    PURPLE,
    GREEN,
    VERMILION,
    BLUE,
    "#FF4FD8",
    "#7CFC3A",
    "#8A4B08",
    "#B59CFF",
    "#00E5E5",
    "#B00020",
    "#FFC9B5",
)
"""On grey images; the seven that the colour-blind tell apart come first, the lightest of them first."""

Outline = Literal["solid", "dashed", "dotted"]
OUTLINES: tuple[Outline, ...] = ("solid", "dashed", "dotted")
"""Of the first seven classes, the next seven, and so on: with the colours, 42 classes look different."""

LEGEND_SIZE = 11
OPACITY = 0.45


def draw_overlay(figure: Figure, overlay: Overlay, classes: Sequence[str]) -> None:
    """Draw a row for each slice; columns show the image, the truth and the prediction on it.

    ``classes`` begin with the background.
    """
    grid = figure.subplots(len(overlay.slices), 3, squeeze=False)
    for row, part in zip(grid, overlay.slices, strict=True):
        for axes, labels in zip(row, (None, part.truth, part.prediction), strict=True):
            _show(axes, part, labels)
        _edges(row[0], part)
        row[0].set_ylabel(f"{part.plane} {part.number} of {part.count}\n{part.why}", fontsize=10)
    for axes, title in zip(grid[0], ("image", "truth", "prediction"), strict=True):
        axes.set_title(title, fontsize=12)
    handles = [_handle(index, name) for index, name in enumerate(classes) if index]
    columns = legend_columns(classes[1:], size=LEGEND_SIZE)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=LEGEND_SIZE)


def overlay_height(overlay: Overlay, width: float, classes: Sequence[str]) -> float:
    """Return the inches that suit the slices on ``width`` inches, with a legend of ``classes``."""
    column = (width - 0.5) / 3
    heights = [column * part.image.shape[0] * part.aspect / part.image.shape[1] for part in overlay.slices]
    rows = math.ceil((len(classes) - 1) / legend_columns(classes[1:], size=LEGEND_SIZE))
    return min(9.0, 0.5 + sum(heights) + 0.05 * len(heights)) + 0.22 * rows


def class_look(index: int) -> tuple[str, Outline]:
    """Return the colour and the outline of a class, from 1."""
    return CLASS_COLOURS[(index - 1) % len(CLASS_COLOURS)], OUTLINES[(index - 1) // 7 % len(OUTLINES)]


def _handle(index: int, name: str) -> Patch:
    colour, line = class_look(index)
    return Patch(facecolor=(colour, OPACITY), edgecolor=colour, linestyle=line, linewidth=1.4, label=name)


def _show(axes: Axes, part: Slice, labels: np.ndarray | None) -> None:
    low, high = np.percentile(part.image, [0.5, 99.5])
    axes.imshow(
        part.image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=part.aspect, interpolation="nearest"
    )
    if labels is not None:
        highest = max(1, int(labels.max()))
        colours = ListedColormap([class_look(index)[0] for index in range(1, highest + 1)])
        inside = np.ma.masked_equal(labels, 0)
        axes.imshow(
            inside,
            cmap=colours,
            vmin=0.5,
            vmax=highest + 0.5,
            alpha=OPACITY,
            aspect=part.aspect,
            interpolation="nearest",
        )
        for index in np.unique(labels[labels > 0]):
            own = labels == index
            if min(labels.shape) > 1 and not own.all():
                colour, line = class_look(int(index))
                axes.contour(own, levels=[0.5], colors=colour, linestyles=line, linewidths=1.1)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _edges(axes: Axes, part: Slice) -> None:
    left, right, top, bottom = part.edges
    spots = {left: (0.03, 0.5), right: (0.97, 0.5), top: (0.5, 0.97), bottom: (0.5, 0.03)}
    sides = {left: ("left", "center"), right: ("right", "center"), top: ("center", "top"), bottom: ("center", "bottom")}
    for letter, (x, y) in spots.items():
        across, along = sides[letter]
        axes.text(
            x,
            y,
            letter,
            transform=axes.transAxes,
            ha=across,
            va=along,
            color="white",
            fontsize=10,
            bbox={"facecolor": "black", "alpha": 0.55, "linewidth": 0, "pad": 1.2},
        )
