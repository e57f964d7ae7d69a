"""Windows of a volume: where they lie, how they are weighted (as MONAI has both), and how their scores are blended."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import product
from math import prod
from typing import Literal, Protocol

import torch
from torch import Tensor

from c2fnas.inference.sinks import allocate
from c2fnas.memory import free_memory, is_out_of_memory, measured, release_memory, used_memory
from c2fnas.shapes import Size

Weighting = Literal["gaussian", "constant"]

GPU_VOXELS, MOST_WINDOWS = 4 * 96**3, 64
"""Voxels of the windows that a GPU is given at a time; a few small windows would leave it idle."""

CPU_VOXELS, MOST_ON_A_CPU = 2**19, 2
"""The same for a CPU: two small windows share the cost of calls, and of large ones two are slower than one."""

MEMORY_SHARE = 0.5
"""The part of a GPU's free memory that windows may take; sums of logits lie there too."""

PAGES = 2**28
"""Bytes of a file with sums that are in memory at a time."""


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


def windows_at_a_time(work: Callable[[Tensor], object], window: Tensor, max_memory: int | None = None) -> int:
    """Return the number of windows like ``window`` ``[1, channels, i, j, k]`` for its device at a time.

    On a CPU two small ones or one (docs/decisions/0044). On a GPU as many as keep it busy and fit into what is free
    there, or into ``max_memory``: ``work`` is done for ``window`` to see what it takes.
    """
    voxels = window[0, 0].numel()
    if window.device.type != "cuda":
        return max(1, min(MOST_ON_A_CPU, CPU_VOXELS // voxels))
    try:
        each = measured(lambda: work(window), window.device)[1]
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        release_memory()
        return 1
    room = free_memory(window.device)
    if max_memory is not None:
        room = min(room, max_memory - used_memory(window.device))
    return fitting_windows(voxels, each, room)


def fitting_windows(voxels: int, each: int, room: int) -> int:
    """Return how many windows of so many voxels, which take ``each`` bytes, a GPU with ``room`` bytes is given.

    >>> [fitting_windows(96**3, 2**30, room * 2**30) for room in (80, 6, 1)]
    [4, 3, 1]
    """
    useful = min(MOST_WINDOWS, GPU_VOXELS // voxels)
    return max(1, min(useful, int(room * MEMORY_SHARE) // max(1, each)))


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
        self._drop: Callable[[], None] | None = None
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
            for some in self._classes():
                self._ring[(some, ring, *plane)].addcmul_(logits[some, part], self._weights[part])
                self._let_go()
            self._total[(ring, *plane)] += self._weights[part]

    def close(self) -> None:
        """Hand on what is left, after the last window."""
        self._release(max(self._shape[0], self._patch[0]))
        self._ring, self._total, self._drop = None, self._weights.new_zeros(0), None

    def _allocate(self, logits: Tensor) -> None:
        """The ring and the sum of weights, as one more class, on the logits' device.

        Where that has no room they are in main memory, or else in a temporary file. Restoring a slab may take as much
        again, and the next windows what these took.
        """
        padded = tuple(max(size, side) for size, side in zip(self._shape, self._patch, strict=True))
        shape = (len(logits) + 1, self._patch[0], *padded[1:])
        wanted = 2 * torch.float32.itemsize * prod(shape) + logits.nbytes
        if logits.device.type != "cpu" and wanted <= free_memory(logits.device):
            try:
                self._take(torch.zeros(shape, dtype=torch.float32, device=logits.device))
                return
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            release_memory()
        room = self._room()
        zeros, drop = allocate(shape, room, exact=True)
        self._take(zeros)
        self._drop = drop

    def _take(self, zeros: Tensor) -> None:
        self._ring, self._total = zeros[:-1], zeros[-1]
        self._weights = self._weights.to(zeros.device)

    def _release(self, until: int) -> None:
        """Finish the planes before ``until``: divide by the weights, cut the padding off, hand on, clear the ring."""
        first = self._padding[0]
        crop = tuple(
            slice(before, before + size) for before, size in zip(self._padding[1:], self._shape[1:], strict=True)
        )
        for planes, ring in self._ring_parts(self._finished, until, self._planes()):
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
            self._let_go()
        self._finished = until

    def _hand_on(self, planes: slice, logits: Tensor) -> None:
        # The sum is finite only where every voxel is, and needs no mask the size of the slab.
        if not torch.isfinite(logits.sum()):
            raise NonFiniteLogits(
                "the network gives NaN or infinite scores; it has diverged, or its precision overflows"
            )
        self._sink(planes, logits)

    def _let_go(self) -> None:
        """Let pages of a ring in a file leave memory."""
        if self._drop is not None:
            self._drop()

    def _classes(self) -> Iterator[slice]:
        """All classes; where the ring is in a file, so few of them at a time that PAGES bytes hold them."""
        assert self._ring is not None
        step = len(self._ring) if self._drop is None else max(1, PAGES // (4 * self._ring[0].numel()))
        return (slice(start, start + step) for start in range(0, len(self._ring), step))

    def _planes(self) -> int:
        """The planes to hand on at a time: all that are finished, or of a ring in a file as many as PAGES hold."""
        if self._ring is None or self._drop is None:
            return self._patch[0]
        return max(1, PAGES // (4 * self._ring[:, 0].numel()))

    def _ring_parts(self, start: int, stop: int, most: int = 2**31) -> Iterator[tuple[slice, slice]]:
        """The planes ``start`` to ``stop``, at most one ring full, as runs of planes with their places in the ring."""
        size = self._patch[0]
        while start < stop:
            place = start % size
            run = min(stop - start, size - place, most)
            yield slice(start, start + run), slice(place, place + run)
            start += run
