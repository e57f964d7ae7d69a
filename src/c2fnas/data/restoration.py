"""The way from a case's own grid to the prepared one, and exactly back, for all 48 axis orders and flips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

import nibabel
import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import TypeAdapter
from torch import Tensor

from c2fnas.data.geometry import Geometry
from c2fnas.data.resample import Decode, argmax_resampled, resample_labels
from c2fnas.data.scheme import best_class
from c2fnas.shapes import Size

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Restoration:
    """The preparation of an array: axes permuted and flipped, cropped to a box, resampled to a shape.

    ``order[a]`` is the original axis that prepared axis ``a`` runs along, ``flipped[a]`` whether it runs backwards.
    ``box`` is the crop in the permuted grid, ``shape`` the size after resampling. ``nearest_axis`` is the prepared axis
    that was resampled by nearest neighbour and goes back the same way.

    >>> geometry = Geometry.from_array((4, 5, 6), np.diag([-1.0, -1.0, 3.0, 1.0]))
    >>> restoration = Restoration.to_axes(geometry)
    >>> restoration.order, restoration.flipped, restoration.spacing
    ((0, 1, 2), (True, True, False), (1.0, 1.0, 3.0))
    """

    original: Geometry
    order: Size
    flipped: tuple[bool, bool, bool]
    box: Box
    shape: Size
    nearest_axis: int | None = None

    @classmethod
    def to_axes(cls, geometry: Geometry, axes: Sequence[int] = (0, 1, 2)) -> Self:
        """To canonical axes (right, anterior, superior), then ``axes`` of those; nothing cropped or resampled yet."""
        source_of = _sources(geometry)
        (i, flip_i), (j, flip_j), (k, flip_k) = (source_of[axis] for axis in axes)
        shape = (geometry.shape[i], geometry.shape[j], geometry.shape[k])
        return cls(geometry, (i, j, k), (flip_i, flip_j, flip_k), _whole(shape), shape)

    def cropped(self, box: Box) -> Self:
        """The same with a crop, not yet resampled."""
        (i0, i1), (j0, j1), (k0, k1) = box
        return replace(self, box=box, shape=(i1 - i0, j1 - j0, k1 - k0))

    def to_shape(self, shape: Size, nearest_axis: int | None = None) -> Self:
        """The same with a resampling to ``shape``."""
        return replace(self, shape=shape, nearest_axis=nearest_axis)

    @property
    def resampled(self) -> bool:
        """True if the prepared grid has other voxels than the crop; if not, a plain argmax is the way back."""
        return self.shape != self.crop_shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between the original's voxels along the prepared axes."""
        i, j, k = (self.original.spacing[axis] for axis in self.order)
        return i, j, k

    @property
    def crop_shape(self) -> Size:
        """Voxels of the crop, before resampling."""
        (i0, i1), (j0, j1), (k0, k1) = self.box
        return i1 - i0, j1 - j0, k1 - k0

    @property
    def prepared(self) -> Geometry:
        """The grid of the prepared array; its outer corners are those of the crop."""
        to_original = np.zeros((4, 4))
        to_original[3, 3] = 1
        for axis, (source, flip) in enumerate(zip(self.order, self.flipped, strict=True)):
            (start, stop), target = self.box[axis], self.shape[axis]
            step = (stop - start) / target
            first = start + step / 2 - 0.5
            last = self.original.shape[source] - 1
            to_original[source, axis], to_original[source, 3] = (-step, last - first) if flip else (step, first)
        return Geometry.from_array(self.shape, self.original.matrix @ to_original)

    def view(self, array: np.ndarray) -> np.ndarray:
        """The crop of ``[..., i, j, k]`` of the original grid along the prepared axes: a view, to read or write."""
        lead = array.ndim - 3
        turned = array.transpose(*range(lead), *(lead + axis for axis in self.order))
        i, j, k = (slice(None, None, -1) if flip else slice(None) for flip in self.flipped)
        (i0, i1), (j0, j1), (k0, k1) = self.box
        return turned[..., i, j, k][..., i0:i1, j0:j1, k0:k1]

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """Class indices ``[i, j, k]`` of the prepared grid in the original one, uint8; background outside the crop."""
        self._check(labels.shape)
        result = np.zeros(self.original.shape, dtype=np.uint8)
        resample_labels(labels, self.crop_shape, self.nearest_axis, out=self.view(result))
        return result

    def argmax(self, scores: np.ndarray | Tensor, decode: Decode = best_class) -> np.ndarray:
        """The best class of every original voxel, uint8, by scores ``[classes, i, j, k]`` of the prepared grid.

        ``decode`` is :meth:`c2fnas.data.scheme.LabelScheme.decode`, where outputs are regions.

        Each class is interpolated linearly in its turn, in slabs, with a running argmax, on the scores' own device;
        where nothing was resampled it is the plain argmax. Background outside the crop.
        """
        self._check(tuple(scores.shape[1:]))

        def planes(index: int, first: int, last: int) -> Tensor:
            part = scores[index, first:last]
            part = part if isinstance(part, Tensor) else torch.from_numpy(np.array(part, dtype=np.float32))
            return part.detach().to(torch.float32)

        result = np.zeros(self.original.shape, dtype=np.uint8)
        argmax_resampled(planes, len(scores), self.shape, self.view(result), self.nearest_axis, decode)
        return result

    def to_json(self) -> dict[str, Any]:
        """Return the restoration as JSON."""
        return _JSON.dump_python(self, mode="json")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Restoration":
        """Return the restoration from :meth:`to_json`."""
        return _JSON.validate_python(value)

    def _check(self, shape: Sequence[int]) -> None:
        if tuple(shape) != self.shape:
            raise ValueError(
                f"an array of size {tuple(shape)} is none of this case, whose prepared size is {self.shape}"
            )


_JSON = TypeAdapter(Restoration)


def nonzero_box(image: np.ndarray) -> Box:
    """Return first and last + 1, per axis, of voxels ``[c, i, j, k]`` not zero in some channel; else the whole."""
    filled = np.zeros(image.shape[1:], dtype=bool)
    for channel in image:
        filled |= channel != 0
    return box_of(filled)


def box_of(filled: np.ndarray) -> Box:
    """Return the box that holds all true voxels of ``[i, j, k]``; the whole where none is true."""
    i, j, k = (_extent(np.any(filled, axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
    return i, j, k


def _extent(occupied: ArrayLike) -> tuple[int, int]:
    places = np.flatnonzero(occupied)
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, np.size(occupied))


@lru_cache(maxsize=1024)
def _sources(geometry: Geometry) -> dict[int, tuple[int, bool]]:
    """Of each canonical axis the array's axis that runs along it, and whether backwards; asked twice of every case."""
    return {int(to): (axis, bool(step < 0)) for axis, (to, step) in enumerate(nibabel.io_orientation(geometry.matrix))}


def _whole(shape: Size) -> Box:
    return (0, shape[0]), (0, shape[1]), (0, shape[2])
