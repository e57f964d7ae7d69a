"""Figure 6: image, truth and prediction on the most telling slices of a case."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from c2fnas.inference.preview import class_patch, show_edges, show_slice
from c2fnas.report.figures.style import legend_columns
from c2fnas.report.overlays import Overlay

LEGEND_SIZE = 11


def draw_overlay(figure: Figure, overlay: Overlay, classes: Sequence[str]) -> None:
    """Draw a row for each slice; columns show the image, the truth and the prediction on it.

    ``classes`` begin with the background.
    """
    grid = figure.subplots(len(overlay.slices), 3, squeeze=False)
    for row, part in zip(grid, overlay.slices, strict=True):
        for axes, labels in zip(row, (None, part.truth, part.prediction), strict=True):
            show_slice(axes, part.image, labels, part.aspect)
        show_edges(row[0], part.edges)
        row[0].set_ylabel(f"{part.plane} {part.number} of {part.count}\n{part.why}", fontsize=10)
    for axes, title in zip(grid[0], ("image", "truth", "prediction"), strict=True):
        axes.set_title(title, fontsize=12)
    handles = [class_patch(index, name) for index, name in enumerate(classes) if index]
    columns = legend_columns(classes[1:], size=LEGEND_SIZE)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=LEGEND_SIZE)


def overlay_height(overlay: Overlay, width: float, classes: Sequence[str]) -> float:
    """Return the inches that suit the slices on ``width`` inches, with a legend of ``classes``."""
    column = (width - 0.5) / 3
    heights = [column * part.image.shape[0] * part.aspect / part.image.shape[1] for part in overlay.slices]
    rows = math.ceil((len(classes) - 1) / legend_columns(classes[1:], size=LEGEND_SIZE))
    return min(9.0, 0.5 + sum(heights) + 0.05 * len(heights)) + 0.22 * rows
