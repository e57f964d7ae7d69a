"""Where finished slabs of a volume go: labels at once, or scores in as much memory as there may be."""

import tempfile
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from c2fnas.memory import free_memory
from c2fnas.shapes import Size

HALF_LIMIT = 65504.0


class LabelSink:
    """Keeps the best class of every voxel, one byte each: a running argmax, full logits never exist."""

    def __init__(self, shape: Size) -> None:
        self.labels = np.zeros(shape, dtype=np.uint8)

    def __call__(self, planes: slice, logits: Tensor) -> None:
        """Take the best class, plane by plane, so that nothing of the slab's size is needed besides."""
        for offset, plane in enumerate(range(planes.start, planes.stop)):
            self.labels[plane] = best_class(logits[:, offset])


class ScoreSink:
    """Keeps the logits ``[classes, *shape]``.

    They were summed in float32 and are rounded at most once: where ``room`` bytes don't hold them in float32 they are
    kept in half precision, and where not even that fits, in a temporary file.
    """

    def __init__(self, shape: Size, room: int | None = None) -> None:
        self._shape, self._room = shape, room
        self._scores: Tensor | None = None

    @property
    def scores(self) -> Tensor:
        """The logits; complete once the volume is."""
        assert self._scores is not None
        return self._scores

    def __call__(self, planes: slice, logits: Tensor) -> None:
        """Copy the slab into its place."""
        if self._scores is None:
            self._scores = allocate((len(logits), *self._shape), self._room)
        if self._scores.dtype == torch.float16:
            logits = logits.clamp(-HALF_LIMIT, HALF_LIMIT)
        self._scores[:, planes] = logits.to(self._scores.device, self._scores.dtype)


def best_class(scores: Iterable[Tensor]) -> np.ndarray:
    """The index of the largest of the classes' scores, uint8, ties to the lower; they are asked for one at a time.

    Several times faster than ``argmax`` along the first axis, which walks memory the wrong way.
    """
    best: Tensor | None = None
    labels: Tensor | None = None
    for index, values in enumerate(scores):
        if best is None or labels is None:
            best, labels = values, torch.zeros(values.shape, dtype=torch.uint8, device=values.device)
        else:
            labels.masked_fill_(values > best, index)
            best = torch.maximum(best, values)
    assert labels is not None
    found: np.ndarray = labels.cpu().numpy()
    return found


def allocate(shape: Sequence[int], room: int | None = None, *, exact: bool = False) -> Tensor:
    """Zeros in float32; past ``room`` bytes (default: what the machine has free) in half, then in a file.

    With ``exact``, never in half. The file has no name any more when this returns, so it vanishes with the tensor.
    """
    limit = free_memory() if room is None else room
    voxels = int(np.prod(shape))
    if 4 * voxels <= limit:
        return torch.zeros(tuple(shape), dtype=torch.float32)
    if 2 * voxels <= limit and not exact:
        return torch.zeros(tuple(shape), dtype=torch.float16)
    dtype = np.float32 if exact else np.float16
    with tempfile.TemporaryFile() as file:
        return torch.from_numpy(np.memmap(file, dtype=dtype, mode="w+", shape=tuple(shape)))
