"""The way back: from the prepared grid to the voxels of the original file, exact for every orientation."""

from dataclasses import dataclass
from typing import Any, Self

import nibabel
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from c2fnas.data.geometry import Geometry

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Restoration:
    """What preparation did to a volume's grid, step by step, so that it can be undone.

    Attributes:
        original: the file's grid.
        order: the original axis that each prepared axis is.
        flips: whether that axis runs the other way.
        start: first voxel of the crop, in the reoriented grid.
        cropped: shape of the crop.
        shape: shape after resampling, the prepared one.
    """

    original: Geometry
    order: Triple
    flips: tuple[bool, bool, bool]
    start: Triple
    cropped: Triple
    shape: Triple

    @property
    def resampled(self) -> bool:
        """Whether preparation changed the number of voxels."""
        return self.shape != self.cropped

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between prepared voxels."""
        before = [self.original.spacing[axis] for axis in self.order]
        i, j, k = (mm * old / new for mm, old, new in zip(before, self.cropped, self.shape, strict=True))
        return i, j, k

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """Class indices of the prepared grid in the original one, uint8; nearest neighbour where resampled.

        Args:
            labels: uint8 ``[i, j, k]`` of shape :attr:`shape`.
        """
        if self.resampled:
            voxels = torch.from_numpy(np.ascontiguousarray(labels))[None, None]
            labels = functional.interpolate(voxels, size=self.cropped, mode="nearest-exact")[0, 0].numpy()
        return self._place(labels)

    def argmax(self, scores: np.ndarray | Tensor) -> np.ndarray:
        """The best class of every original voxel, uint8, from scores ``[classes, i, j, k]`` of the prepared grid.

        Each class in turn is interpolated trilinearly to the original voxels while a running maximum is kept, so memory
        stays at three volumes whatever the number of classes. Without resampling it is a plain argmax.
        """
        best = torch.as_tensor(scores)
        if not self.resampled:
            return self._place(best.argmax(0).to(torch.uint8).numpy())
        highest = self._interpolated(best[0])
        labels = np.zeros(self.cropped, np.uint8)
        for index in range(1, len(best)):
            candidate = self._interpolated(best[index])
            labels[(candidate > highest).numpy()] = index
            torch.maximum(highest, candidate, out=highest)
        return self._place(labels)

    def _interpolated(self, scores: Tensor) -> Tensor:
        grid = scores.to("cpu", torch.float32)[None, None]
        return functional.interpolate(grid, size=self.cropped, mode="trilinear", align_corners=False)[0, 0]

    def _place(self, labels: np.ndarray) -> np.ndarray:
        """Undo the crop, the flips and the order of axes."""
        whole = np.zeros(tuple(self.original.shape[axis] for axis in self.order), np.uint8)
        whole[box(self.start, self.cropped)] = labels
        return np.ascontiguousarray(np.flip(whole, flipped(self.flips)).transpose(np.argsort(self.order)))

    def to_json(self) -> dict[str, Any]:
        """A JSON value that :meth:`from_json` reads."""
        return {
            "shape_original": list(self.original.shape), "affine": [list(row) for row in self.original.affine],
            "order": list(self.order), "flips": list(self.flips), "start": list(self.start),
            "cropped": list(self.cropped), "shape": list(self.shape),
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The restoration of a JSON value."""
        geometry = Geometry.from_array(value["shape_original"], value["affine"])
        order, start, cropped, shape = (_triple(value[key]) for key in ("order", "start", "cropped", "shape"))
        a, b, c = (bool(flip) for flip in value["flips"])
        return cls(geometry, order, (a, b, c), start, cropped, shape)


def orient(array: np.ndarray, order: Triple, flips: tuple[bool, bool, bool]) -> np.ndarray:
    """The last three axes of ``array`` in ``order``, then flipped; a view."""
    lead = array.ndim - 3
    turned = array.transpose(*range(lead), *(lead + axis for axis in order))
    return np.flip(turned, tuple(lead + axis for axis in flipped(flips)))


def orientation(affine: np.ndarray, axes: Triple) -> tuple[Triple, tuple[bool, bool, bool]]:
    """Which original axis, and whether flipped, becomes each axis of the closest canonical (RAS+) grid taken in ``axes``."""
    found = nibabel.io_orientation(affine)
    source = {int(world): axis for axis, (world, _) in enumerate(found)}
    order = tuple(source[world] for world in axes)
    a, b, c = (bool(found[axis][1] < 0) for axis in order)
    return _triple(order), (a, b, c)


def box(start: Triple, shape: Triple) -> tuple[slice, ...]:
    """The slices of a box."""
    return tuple(slice(first, first + size) for first, size in zip(start, shape, strict=True))


def flipped(flips: tuple[bool, bool, bool]) -> tuple[int, ...]:
    """The axes that are flipped."""
    return tuple(axis for axis, flip in enumerate(flips) if flip)


def _triple(values: object) -> Triple:
    i, j, k = (int(value) for value in values)  # type: ignore[attr-defined]
    return i, j, k
