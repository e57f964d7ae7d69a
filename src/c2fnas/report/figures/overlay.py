"""Figure 6: image, truth and prediction on the most telling slices of a case."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from c2fnas.report.figures.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, YELLOW
from c2fnas.report.overlays import Overlay, Slice

CLASS_COLOURS = (ORANGE, SKY, YELLOW, PURPLE, GREEN, VERMILION, BLUE)
"""On grey images; the lightest first."""

OPACITY = 0.45


def draw_overlay(figure: Figure, overlay: Overlay, classes: Sequence[str]) -> None:
    """A row for each slice; columns show the image, the truth and the prediction on it.

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
    handles = [Patch(color=class_colour(index), label=name) for index, name in enumerate(classes) if index]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), fontsize=11)


def overlay_height(overlay: Overlay, width: float) -> float:
    """Inches that suit the slices on ``width`` inches."""
    column = (width - 0.5) / 3
    heights = [column * part.image.shape[0] * part.aspect / part.image.shape[1] for part in overlay.slices]
    return min(9.0, 0.72 + sum(heights) + 0.05 * len(heights))


def class_colour(index: int) -> str:
    """The colour of a class, from 1."""
    return CLASS_COLOURS[(index - 1) % len(CLASS_COLOURS)]


def _show(axes: Axes, part: Slice, labels: np.ndarray | None) -> None:
    low, high = np.percentile(part.image, [0.5, 99.5])
    axes.imshow(
        part.image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=part.aspect, interpolation="nearest"
    )
    if labels is not None:
        highest = max(1, int(labels.max()))
        colours = ListedColormap([class_colour(index) for index in range(1, highest + 1)])
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
                axes.contour(own, levels=[0.5], colors=class_colour(int(index)), linewidths=1.1)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _edges(axes: Axes, part: Slice) -> None:
    """Which way is where in the patient."""
    left, right, top, bottom = part.edges
    spots = {left: (0.03, 0.5), right: (0.97, 0.5), top: (0.5, 0.97), bottom: (0.5, 0.03)}
    sides = {left: ("left", "center"), right: ("right", "center"), top: ("center", "top"), bottom: ("center", "bottom")}
    for letter, (x, y) in spots.items():
        across, along = sides[letter]
        axes.text(
            x, y, letter, transform=axes.transAxes, ha=across, va=along, color="white", fontsize=10,
            bbox={"facecolor": "black", "alpha": 0.55, "linewidth": 0, "pad": 1.2},
        )  # fmt: skip
