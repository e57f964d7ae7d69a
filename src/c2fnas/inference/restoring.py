"""Labels in a case's original grid, slab by slab as the sliding window finishes them: no volume of scores exists."""

from collections.abc import Iterator
from math import prod

import numpy as np
import torch
from torch import Tensor

from c2fnas.data.resample import SLAB_VOXELS, Taps
from c2fnas.data.restoration import Restoration
from c2fnas.inference.ensemble import Fusion, Vote
from c2fnas.inference.sinks import best_class


class RestoringSink:
    """The best class of every original voxel, by one model's scores or by those of several that vote.

    Scores are interpolated linearly to the original's voxels and compared there, as in
    :meth:`c2fnas.data.restoration.Restoration.argmax`, to the same result bit for bit. Between slabs only the planes
    that the next voxels still need are kept, so memory does not grow with the volume's first axis.

    Args:
        restoration: The way back to the original grid.
        models: Networks whose classes lie side by side in the logits, see :class:`c2fnas.inference.ensemble.Ensemble`.
        vote: How several models are fused.
    """

    def __init__(self, restoration: Restoration, models: int = 1, vote: Vote = "majority") -> None:
        self.labels = np.zeros(restoration.original.shape, dtype=np.uint8)
        """Class indices ``[i, j, k]`` of the original grid; complete once the volume is."""
        self._out = restoration.view(self.labels)
        self._models, self._vote = models, vote
        self._along = [
            Taps.nearest(n, m) if axis == restoration.nearest_axis else Taps.linear(n, m)
            for axis, (n, m) in enumerate(zip(restoration.shape, self._out.shape, strict=True))
        ]
        self._plane = max(prod(self._out.shape[1:]), prod(restoration.shape[1:]))
        self._kept: Tensor | None = None
        self._kept_from = 0
        self._done = 0

    def __call__(self, planes: slice, logits: Tensor) -> None:
        """Take a slab ``[models · classes, planes, j, k]`` and label every voxel that needs no later one."""
        for start, stop in self._chunks(planes.stop, len(logits)):
            within, first, last = self._along[0].slab(start, stop)
            self._label(start, stop, within, self._part(logits, planes.start, first, last))
        ahead = int(self._along[0].low[self._done]) if self._done < len(self._out) else planes.stop
        needed = min(ahead, planes.stop)  # a coarser original grid passes planes over
        # A copy: the slab is the blend's own memory, which it reuses.
        self._kept, self._kept_from = self._part(logits, planes.start, needed, planes.stop).clone(), needed

    def _chunks(self, until: int, channels: int) -> Iterator[tuple[int, int]]:
        """Runs of original planes that need no prepared plane from ``until`` on, in order, each once.

        One model's classes go through one by one; several models' are fused all at once, in thinner runs.
        """
        step = max(1, SLAB_VOXELS // (self._plane * (1 if self._models == 1 else channels)))
        stop = int(np.searchsorted(self._along[0].high, until))
        while self._done < stop:
            start, self._done = self._done, min(self._done + step, stop)
            yield start, self._done

    def _part(self, logits: Tensor, begin: int, first: int, last: int) -> Tensor:
        """The prepared planes ``first`` to ``last`` of the slab that begins at ``begin`` and of those kept."""
        inside = logits[:, max(0, first - begin) : last - begin]
        if first >= begin or self._kept is None:
            return inside
        return torch.cat([self._kept[:, first - self._kept_from :], inside], dim=1)

    def _label(self, start: int, stop: int, within: Taps, part: Tensor) -> None:
        """Label the original planes ``start`` to ``stop`` by the scores of the prepared ones that they need."""

        def argmax(scores: Tensor) -> np.ndarray:
            _, along_j, along_k = self._along
            return best_class(within.apply(along_j.apply(along_k.apply(each.float(), 2), 1), 0) for each in scores)

        if self._models == 1:
            self._out[start:stop] = argmax(part)
            return
        fusion = Fusion(self._vote, argmax)
        for model in part.chunk(self._models):
            fusion.add(model)
        self._out[start:stop] = fusion.labels()
