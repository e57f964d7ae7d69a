"""From slabs of the prepared grid to runs of planes of the original one, on the device of the scores."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from c2fnas.data.resample import SLAB_VOXELS, Taps
from c2fnas.data.restoration import Restoration
from c2fnas.data.scheme import LabelScheme
from c2fnas.inference.undisputed import sparse_labels

GPU_SLAB_VOXELS = 1 << 24
"""The same on a GPU, which thin slabs would leave waiting for its host."""


def planes_at_once(device: torch.device, values: int) -> int:
    """Return how many planes, of so many values each, are worked on at a time on a device: one at least."""
    return max(1, (GPU_SLAB_VOXELS if device.type == "cuda" else SLAB_VOXELS) // values)


@dataclass(frozen=True)
class Planes:
    """Original planes ``start`` to ``stop``, with the scores of the prepared planes that they lie between.

    Attributes:
        scores: ``[classes, planes, j, k]`` of the prepared grid, of several models side by side perhaps.
        taps: of each axis, where its original voxels lie between prepared ones.
    """

    start: int
    stop: int
    scores: Tensor
    taps: tuple[Taps, Taps, Taps]

    def restored(self, scores: Tensor | None = None) -> Iterator[Tensor]:
        """Yield each class, interpolated to the original planes; of other ``scores`` of the same planes where given."""
        along_i, along_j, along_k = self.taps
        for each in self.scores if scores is None else scores:
            yield along_i.apply(along_j.apply(along_k.apply(each.float(), 2), 1), 0)

    def labels(self, scheme: LabelScheme) -> Tensor:
        """Return the part of every original voxel, uint8, on the device of the scores, which are those of one model.

        On a CPU scores are interpolated only where their neighbours' labels differ, to the same labels bit for bit.
        """
        sparse = sparse_labels(self.scores, self.taps, scheme) if self.scores.device.type == "cpu" else None
        return scheme.decoded(self.restored()) if sparse is None else torch.from_numpy(sparse)


class Restorer:
    """Cuts slabs of scores, which come in order, into runs of original planes.

    Scores are interpolated linearly to the original's voxels, as in
    :meth:`c2fnas.data.restoration.Restoration.argmax`. Between slabs only the planes that the next voxels still need
    are kept, so memory does not grow with the volume's first axis.
    """

    def __init__(self, restoration: Restoration) -> None:
        target = restoration.crop_shape
        along_i, along_j, along_k = (
            Taps.nearest(n, m) if axis == restoration.nearest_axis else Taps.linear(n, m)
            for axis, (n, m) in enumerate(zip(restoration.shape, target, strict=True))
        )
        self._first, self._across = along_i, (along_j, along_k)
        self._plane = max(prod(target[1:]), prod(restoration.shape[1:]))
        self._kept: Tensor | None = None
        self._kept_from = 0
        self._done, self._planes = 0, target[0]

    def take(self, planes: slice, logits: Tensor, use: Callable[[Planes], None], at_once: int = 1) -> None:
        """Take a slab ``[channels, planes, j, k]`` and ``use`` every run that needs no later one.

        ``at_once``: channels that ``use`` restores at a time; with more, runs are thinner.
        """
        for start, stop in self._runs(planes.stop, planes_at_once(logits.device, self._plane * at_once)):
            within, first, last = self._first.slab(start, stop)
            use(Planes(start, stop, self._part(logits, planes.start, first, last), (within, *self._across)))
        ahead = int(self._first.low[self._done]) if self._done < self._planes else planes.stop
        needed = min(ahead, planes.stop)  # a coarser original grid passes planes over
        # A copy: the slab is the blend's own memory, which it reuses.
        self._kept, self._kept_from = self._part(logits, planes.start, needed, planes.stop).clone(), needed

    def _runs(self, until: int, step: int) -> Iterator[tuple[int, int]]:
        """Runs, in order, of at most ``step`` original planes that need no prepared plane from ``until`` on."""
        stop = int(np.searchsorted(self._first.high, until))
        while self._done < stop:
            start, self._done = self._done, min(self._done + step, stop)
            yield start, self._done

    def _part(self, logits: Tensor, begin: int, first: int, last: int) -> Tensor:
        """The prepared planes ``first`` to ``last`` of the slab that begins at ``begin`` and of those kept."""
        inside = logits[:, max(0, first - begin) : last - begin]
        if first >= begin or self._kept is None:
            return inside
        return torch.cat([self._kept[:, first - self._kept_from :], inside], dim=1)
