"""A case to scroll through: every slice of image, truth and prediction as small pictures inside the page."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imsave

from c2fnas.data.folds import Fold
from c2fnas.evaluation.metrics import CaseScores
from c2fnas.inference.preview import EDGES, OPACITY, PLANES, class_look, shown_slice
from c2fnas.report.overlays import Volumes, zoom

MOST_SLICES, MOST_PIXELS = 60, 320
MOST_BYTES = 3_000_000
"""Of all pictures of a case; where they are larger, they get fewer pixels."""
QUALITY = 80
NO_MAKER: dict[str, Any] = {"Software": None}
AROUND = 0.15
"""Slices beyond the structures, as a part of those that show them."""


@dataclass(frozen=True)
class ViewedSlice:
    """A slice: its number from 1, and pictures as data addresses; None where a label shows nothing."""

    number: int
    image: str
    truth: str | None
    prediction: str | None


@dataclass(frozen=True)
class CaseView:
    """A case, slice by slice.

    Attributes:
        fold: that validated it.
        scores: of the case.
        slices: in order.
        start: the place of the one that shows most structure, from 0.
        count: of all slices of the volume.
        shape: width by height, in mm.
        plane: its name.
        edges: left, right, top, bottom in the patient.
        classes: names and colours of the foreground, in order.
    """

    fold: Fold
    scores: CaseScores
    slices: tuple[ViewedSlice, ...]
    start: int
    count: int
    shape: float
    plane: str
    edges: tuple[str, str, str, str]
    classes: tuple[tuple[str, str], ...]

    @property
    def size(self) -> int:
        """Bytes that the pictures take in the page."""
        return sum(len(part or "") for each in self.slices for part in (each.image, each.truth, each.prediction))


def view_case(volumes: Volumes, fold: Fold, scores: CaseScores, classes: tuple[str, ...]) -> CaseView:
    """Return a case as it can be scrolled through, in as many pixels as :data:`MOST_BYTES` allow.

    Args:
        volumes: Of the case, canonical.
        fold: That validated it.
        scores: Of the case.
        classes: Their names, the background first.
    """
    pixels = MOST_PIXELS
    while True:
        found = _view(volumes, fold, scores, classes, pixels)
        if found.size <= MOST_BYTES or pixels < MOST_PIXELS // 4:
            return found
        pixels = round(pixels * 0.9 * min(0.9, (MOST_BYTES / found.size) ** 0.5))


def _view(volumes: Volumes, fold: Fold, scores: CaseScores, classes: tuple[str, ...], pixels: int) -> CaseView:
    axis, (across, down) = volumes.axis, volumes.sides
    structure = (volumes.truth > 0) | (volumes.prediction > 0)
    box = zoom(shown_slice(np.asarray(structure.any(axis=axis, keepdims=True)), axis, 0), down, across)
    extent = np.asarray(structure.sum(axis=tuple(each for each in range(3) if each != axis)))
    numbers = [*_numbers(extent)]
    sample = volumes.image[::4, ::4, ::4]
    grey = np.percentile(sample, [0.5, 99.5]).tolist()
    shown = [_slice(volumes, index, box, pixels, (grey[0], max(grey[1], grey[0] + 1e-6))) for index in numbers]
    height, width = shown_slice(volumes.image, axis, 0)[box].shape
    return CaseView(
        fold,
        scores,
        tuple(shown),
        int(np.argmax(extent[numbers])),
        volumes.image.shape[axis],
        width * across / (height * down),
        PLANES[axis],
        EDGES[axis],
        tuple((name, class_look(index)[0]) for index, name in enumerate(classes) if index),
    )


def _numbers(extent: np.ndarray) -> Iterator[int]:
    """Yield the slices with structure and some around, evenly fewer where they are too many."""
    held = np.flatnonzero(extent) if extent.any() else np.arange(len(extent))
    around = max(1, round(AROUND * (held[-1] - held[0] + 1)))
    first, last = max(0, int(held[0]) - around), min(len(extent) - 1, int(held[-1]) + around)
    count = min(MOST_SLICES, last - first + 1)
    yield from (round(each) for each in np.linspace(first, last, count).tolist())


def _slice(
    volumes: Volumes, index: int, box: tuple[slice, slice], pixels: int, grey: tuple[float, float]
) -> ViewedSlice:
    image, truth, prediction = (
        shown_slice(volume, volumes.axis, index)[box] for volume in (volumes.image, volumes.truth, volumes.prediction)
    )
    rows, columns = (_places(side, pixels) for side in image.shape)
    image, truth, prediction = (each[np.ix_(rows, columns)] for each in (image, truth, prediction))
    file = io.BytesIO()
    options = {"quality": QUALITY, "subsampling": 2}
    imsave(file, image, cmap="gray", vmin=grey[0], vmax=grey[1], format="jpeg", pil_kwargs=options)
    return ViewedSlice(index + 1, _address(file, "jpeg"), _label(truth), _label(prediction))


def _places(side: int, most: int) -> np.ndarray:
    """Return the places of the pixels that are shown of a side."""
    count = min(side, most)
    return ((np.arange(count) + 0.5) * side / count).astype(int)


def _label(classes: np.ndarray) -> str | None:
    """Return a picture of class indices, seen through but for their outlines; None where all are background."""
    if not classes.any():
        return None
    table = np.zeros((int(classes.max()) + 1, 3))
    for index in np.unique(classes[classes > 0]).tolist():
        table[index] = to_rgb(class_look(index)[0])
    opacity = np.where(classes > 0, OPACITY, 0.0)
    opacity[outline(classes)] = 1.0
    file = io.BytesIO()
    picture = np.concatenate([table[classes], opacity[..., None]], axis=-1)
    imsave(file, (255 * picture).round().astype(np.uint8), format="png", metadata=NO_MAKER)
    return _address(file, "png")


def outline(classes: np.ndarray) -> np.ndarray:
    """Return where a pixel of a class has a neighbour, along rows or columns, of another one.

    >>> outline(np.array([[0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0]])).astype(int).tolist()
    [[0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    """
    padded = np.pad(classes, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return (inner > 0) & np.any([inner != each for each in neighbours], axis=0)


def _address(file: io.BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
