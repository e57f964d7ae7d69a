"""A picture of a case: three planes of the image with the labels' outlines, and how classes look on grey images."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from c2fnas.data.restoration import Restoration
from c2fnas.data.volume import Volume
from c2fnas.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

PLANES = ("sagittal", "coronal", "axial")
EDGES = (("A", "P", "S", "I"), ("R", "L", "S", "I"), ("R", "L", "A", "P"))
"""Left, right, top and bottom of each plane as it is shown: the patient's right on the left."""

CLASS_COLOURS = (
    *("#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#D55E00", "#F0E442", "#0072B2"),
    *("#FF4FD8", "#7CFC3A", "#8A4B08", "#B59CFF", "#00E5E5", "#B00020", "#FFC9B5"),
)
"""On grey images and on white; Okabe and Ito's seven that the colour-blind tell apart come first.

Those that are seen well on both are the first of them; the yellow, pale on white, and the blue, dark on grey, the last.
"""

Outline = Literal["solid", "dashed", "dotted"]
OUTLINES: tuple[Outline, ...] = ("solid", "dashed", "dotted")
"""Of the first seven classes, the next seven, and so on: with the colours, 42 classes look different."""

OPACITY = 0.45
MOST_NAMES = 12
"""Classes that the legend of a preview names."""


def shown_slice(volume: np.ndarray, axis: int, index: int) -> np.ndarray:
    """Return a slice of a canonical volume (right, anterior, superior) as radiologists see it, see :data:`EDGES`.

    >>> shown_slice(np.arange(8).reshape(2, 2, 2), axis=2, index=0).tolist()
    [[6, 2], [4, 0]]
    """
    return np.take(volume, index, axis=axis).T[::-1, ::-1]


def class_look(index: int) -> tuple[str, Outline]:
    """Return the colour and the outline of a class, from 1."""
    return CLASS_COLOURS[(index - 1) % len(CLASS_COLOURS)], OUTLINES[(index - 1) // 7 % len(OUTLINES)]


def class_patch(index: int, name: str) -> "Patch":
    """Return a class's entry in a legend."""
    from matplotlib.patches import Patch

    colour, line = class_look(index)
    return Patch(facecolor=(colour, OPACITY), edgecolor=colour, linestyle=line, linewidth=1.4, label=name)


def show_slice(axes: "Axes", image: np.ndarray, labels: np.ndarray | None, aspect: float) -> None:
    """Draw a slice ``[rows, columns]``, and class indices of the same size over it; ``aspect`` is a pixel's form."""
    from matplotlib.colors import ListedColormap

    low, high = np.percentile(image, [0.5, 99.5])
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=aspect, interpolation="nearest")
    if labels is not None:
        highest = max(1, int(labels.max()))
        axes.imshow(
            np.ma.masked_equal(labels, 0),
            cmap=ListedColormap([class_look(index)[0] for index in range(1, highest + 1)]),
            vmin=0.5,
            vmax=highest + 0.5,
            alpha=OPACITY,
            aspect=aspect,
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


def show_edges(axes: "Axes", edges: tuple[str, str, str, str]) -> None:
    """Write the letters of the patient's sides, left, right, top and bottom, onto a slice."""
    spots = (
        *((0.03, 0.5, "left", "center"), (0.97, 0.5, "right", "center")),
        *((0.5, 0.97, "center", "top"), (0.5, 0.03, "center", "bottom")),
    )
    box = {"facecolor": "black", "alpha": 0.55, "linewidth": 0, "pad": 1.2}
    for letter, (x, y, across, along) in zip(edges, spots, strict=True):
        axes.text(x, y, letter, transform=axes.transAxes, ha=across, va=along, color="white", fontsize=10, bbox=box)


def draw_preview(volume: Volume, labels: np.ndarray, classes: Sequence[str], title: str) -> "Figure":
    """Return a figure of the sagittal, the coronal and the axial slice that show most of the labels.

    Args:
        volume: The image; its first channel is drawn.
        labels: Class indices ``[i, j, k]`` in its grid. Where all are background, the middle slices are drawn.
        classes: Their names, the background first.
        title: A line above.
    """
    from matplotlib.figure import Figure

    way = Restoration.to_axes(volume.geometry)
    image, shown = way.view(volume.array[0]), way.view(labels)
    sides = [n * mm for n, mm in zip(shown.shape, way.spacing, strict=True)]
    figure = Figure(figsize=(10, 4), layout="constrained")
    ratios = [sides[1], sides[0], sides[0]]
    for axis, axes in enumerate(figure.subplots(1, 3, width_ratios=np.clip(ratios, max(ratios) / 4, None))):
        others = tuple(each for each in range(3) if each != axis)
        present = np.count_nonzero(shown, axis=others)
        index = int(present.argmax()) if present.any() else shown.shape[axis] // 2
        across, down = (way.spacing[each] for each in others)
        show_slice(axes, shown_slice(image, axis, index), shown_slice(shown, axis, index), down / across)
        show_edges(axes, EDGES[axis])
        axes.set_title(f"{PLANES[axis]} {index + 1} of {shown.shape[axis]}", fontsize=10)
    figure.suptitle(title, fontsize=12)
    found = [index for index in np.unique(shown).tolist() if index][:MOST_NAMES]
    handles = [class_patch(index, classes[index]) for index in found]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), fontsize=9)
    return figure


def save_preview(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, without a trace of when or where it was drawn.

    Raises:
        UserError: the file can't be written.
    """
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110, metadata={"Software": None}))
