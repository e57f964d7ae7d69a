"""Windows of a volume: where they lie, how they are weighted (as MONAI has both), and how their scores are blended."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import product
from math import prod
from typing import Literal, Protocol

import torch
from torch import Tensor

from c2fnas.inference.sinks import allocate
from c2fnas.memory import is_out_of_memory, release_memory
from c2fnas.shapes import Size

Weighting = Literal["gaussian", "constant"]

GPU_VOXELS = 4 * 96**3
"""Voxels of the windows that a GPU is given at a time; a few small windows would leave it idle."""


def axis_starts(size: int, patch: int, stride: int) -> tuple[int, ...]:
    """Return the first voxels of the windows along one axis; the last window is shifted back to the border.

    >>> axis_starts(100, patch=48, stride=32)
    (0, 32, 52)
    >>> axis_starts(20, patch=48, stride=32)  # smaller than the patch: one window on the padded volume
    (0,)
    """
    last = max(0, size - patch)
    return (*range(0, last, stride), last)


def window_starts(shape: Size, patch: Size, stride: Size) -> tuple[Size, ...]:
    """Return the first voxels of a volume's windows, once it is padded to the patch; the first axis varies slowest."""
    axes = (axis_starts(*axis) for axis in zip(shape, patch, stride, strict=True))
    return tuple(product(*axes))  # type: ignore[arg-type]


def padding_before(shape: Size, patch: Size) -> Size:
    """Return the zeros before each axis that bring a small volume up to the patch; the odd one comes after."""
    i, j, k = (max(0, side - size) // 2 for size, side in zip(shape, patch, strict=True))
    return i, j, k


def windows_at_a_time(patch: Size, device: str) -> int:
    """Return the number of windows for a device at a time: two on a CPU; as many small ones as keep a GPU busy.

    >>> windows_at_a_time((96, 96, 96), "cpu"), windows_at_a_time((96, 96, 96), "cuda:0")
    (2, 4)
    """
    return max(2, min(64, GPU_VOXELS // prod(patch))) if device.startswith("cuda") else 2


@lru_cache(maxsize=8)
def importance(patch: Size, weighting: Weighting) -> Tensor:
    """Return the weights of a window, float32 ``[*patch]``: MONAI's Gaussian (σ an eighth of a side) or ones.

    MONAI itself is not asked: its import takes longer than the prediction of a small image.
    """
    if weighting == "constant":
        return torch.ones(patch)
    i, j, k = (
        torch.exp(torch.arange(-(side - 1) / 2, (side - 1) / 2 + 1) ** 2 / (-2 * (side / 8) ** 2)) for side in patch
    )
    weights = (i[:, None] * j)[..., None] * k
    return weights.clamp_(min=max(float(weights.min()), 1e-3))


class Sink(Protocol):
    """Takes the blended logits ``[classes, planes, j, k]`` of a slab; the tensor is valid during the call only."""

    def __call__(self, planes: slice, logits: Tensor) -> None:
        """Take the slab ``planes`` of the first axis."""


class NonFiniteLogits(ValueError):
    """The network gave NaN or infinity: it has diverged, or its precision overflows."""


class Blend:
    """The weighted mean of the windows of one volume, in the memory of one patch's thickness.

    Windows come in the order of their first coordinate. A ring of ``patch[0]`` planes holds the sums, plane ``p`` at
    ``p % patch[0]``; when a window begins at ``i``, all planes before ``i`` are final. The whole volume's logits exist
    nowhere, and nothing is ever moved.

    Args:
        shape: Voxels of the volume, without padding.
        weights: The windows' importance, ``[*patch]``, float32.
        sink: Where finished slabs go.
        room: Tells how many bytes of main memory the sums may take; None: what the machine has free.
    """

    def __init__(self, shape: Size, weights: Tensor, sink: Sink, room: Callable[[], int | None] = lambda: None) -> None:
        i, j, k = weights.shape
        self._shape, self._patch, self._sink = shape, (i, j, k), sink
        self._padding = padding_before(shape, self._patch)
        self._weights, self._room = weights, room
        self._ring: Tensor | None = None
        self._total = weights.new_zeros(0)
        self._finished = 0

    def add(self, start: Size, logits: Tensor) -> None:
        """Blend in the logits ``[classes, *patch]`` of the window at ``start`` (in the padded volume)."""
        if self._ring is None:
            self._allocate(logits)
        assert self._ring is not None
        logits = logits.to(self._ring.device)
        self._release(start[0])
        plane = (slice(start[1], start[1] + self._patch[1]), slice(start[2], start[2] + self._patch[2]))
        for planes, ring in self._ring_parts(start[0], start[0] + self._patch[0]):
            part = slice(planes.start - start[0], planes.stop - start[0])
            self._ring[(slice(None), ring, *plane)].addcmul_(logits[:, part], self._weights[part])
            self._total[(ring, *plane)] += self._weights[part]

    def close(self) -> None:
        """Hand on what is left, after the last window."""
        self._release(max(self._shape[0], self._patch[0]))
        self._ring, self._total = None, self._weights.new_zeros(0)

    def _allocate(self, logits: Tensor) -> None:
        """The ring and the sum of weights, as one more class, on the logits' device.

        Where that has no room they are in main memory, or else in a temporary file.
        """
        padded = tuple(max(size, side) for size, side in zip(self._shape, self._patch, strict=True))
        size = (self._patch[0], *padded[1:])
        if logits.device.type != "cpu":
            try:
                self._take(torch.zeros((len(logits) + 1, *size), dtype=torch.float32, device=logits.device))
                return
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            release_memory()
        self._take(allocate((len(logits) + 1, *size), self._room(), exact=True))

    def _take(self, zeros: Tensor) -> None:
        self._ring, self._total = zeros[:-1], zeros[-1]
        self._weights = self._weights.to(zeros.device)

    def _release(self, until: int) -> None:
        """Finish the planes before ``until``: divide by the weights, cut the padding off, hand on, clear the ring."""
        first = self._padding[0]
        crop = tuple(
            slice(before, before + size) for before, size in zip(self._padding[1:], self._shape[1:], strict=True)
        )
        for planes, ring in self._ring_parts(self._finished, until):
            assert self._ring is not None
            inside = slice(max(planes.start, first), min(planes.stop, first + self._shape[0]))
            if inside.start < inside.stop:
                cut = slice(ring.start + inside.start - planes.start, ring.start + inside.stop - planes.start)
                self._hand_on(
                    slice(inside.start - first, inside.stop - first),
                    self._ring[(slice(None), cut, *crop)].div_(self._total[(cut, *crop)]),
                )
            self._ring[:, ring] = 0
            self._total[ring] = 0
        self._finished = until

    def _hand_on(self, planes: slice, logits: Tensor) -> None:
        # The sum is finite only where every voxel is, and needs no mask the size of the slab.
        if not torch.isfinite(logits.sum()):
            raise NonFiniteLogits(
                "the network gives NaN or infinite scores; it has diverged, or its precision overflows"
            )
        self._sink(planes, logits)

    def _ring_parts(self, start: int, stop: int) -> Iterator[tuple[slice, slice]]:
        """The planes ``start`` to ``stop``, at most one ring full, as runs of planes with their places in the ring."""
        size = self._patch[0]
        while start < stop:
            place = start % size
            run = min(stop - start, size - place)
            yield slice(start, start + run), slice(place, place + run)
            start += run
