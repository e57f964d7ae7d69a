"""Sinks take the finished slabs of a volume: its best classes, its scores, or labels in the case's original grid."""

import mmap
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Literal

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from c2fnas.data.restoration import Restoration
from c2fnas.data.scheme import LabelScheme, best_class
from c2fnas.errors import UserError
from c2fnas.inference.ensemble import Fusion, RegionFusion
from c2fnas.inference.options import Vote
from c2fnas.inference.restoring import Planes, Restorer, planes_at_once
from c2fnas.memory import free_memory, trim_memory
from c2fnas.shapes import Size

HALF_LIMIT = 65504.0

MUCH = 1 << 23
"""Values of a run of planes from which on memory is given back after it: glibc would keep hundreds of MB of scraps."""


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
        self._drop: Callable[[], None] | None = None

    @property
    def scores(self) -> Tensor:
        """The logits; complete once the volume is."""
        assert self._scores is not None
        return self._scores

    def __call__(self, planes: slice, logits: Tensor) -> None:
        """Copy the slab into its place."""
        if self._scores is None:
            self._scores, self._drop = allocate((len(logits), *self._shape), self._room)
        if self._scores.dtype == torch.float16:
            logits = logits.clamp(-HALF_LIMIT, HALF_LIMIT)
        self._scores[:, planes] = logits.to(self._scores.device, self._scores.dtype)
        if self._drop is not None:
            self._drop()


@dataclass(frozen=True)
class Keep:
    """A choice of what a :class:`RestoringSink` keeps besides labels.

    Args:
        grid: Class probabilities in the image's own grid, or in the network's; None for none.
        outputs: The number of classes, or of regions.
        dtype: Of the probabilities.
        disputed: Count the voxels on which models differ.
    """

    grid: Literal["image", "network"] | None = None
    outputs: int = 0
    dtype: DTypeLike = np.float32
    disputed: bool = False


class RestoringSink:
    """The best class of every original voxel, by one model's scores or by those of several that vote.

    Scores are interpolated linearly to the original's voxels and compared there, as in
    :meth:`c2fnas.data.restoration.Restoration.argmax`, to the same result bit for bit.

    Args:
        restoration: The way back to the original grid.
        models: Networks whose classes lie side by side in the logits, see :class:`c2fnas.inference.ensemble.Ensemble`.
        vote: How several models are fused.
        keep: What stays of the logits besides labels.
        scheme: What outputs become: classes, or regions.
    """

    def __init__(
        self,
        restoration: Restoration,
        models: int = 1,
        vote: Vote = "majority",
        keep: Keep = Keep(),
        scheme: LabelScheme = LabelScheme(),
    ) -> None:
        self.labels = np.zeros(restoration.original.shape, dtype=np.uint8)
        """Class indices ``[i, j, k]`` of the original grid; complete once the volume is."""
        self.disputed = np.zeros(2, dtype=np.int64)
        """The voxels on which models differ, and those that any calls foreground; zero unless they are counted."""
        self.probabilities: np.ndarray | None = None
        """Class probabilities ``[classes, i, j, k]`` of the original or prepared grid, the mean of several models'."""
        self._out = restoration.view(self.labels)
        self._in_image: np.ndarray | None = None
        self._in_network: np.ndarray | None = None
        if keep.grid == "network":
            self._in_network = self.probabilities = np.zeros((keep.outputs, *restoration.shape), keep.dtype)
        elif keep.grid == "image":
            self.probabilities = np.zeros((keep.outputs, *self.labels.shape), keep.dtype)
            self.probabilities[0] = scheme.order is None  # outside of the crop all is background
            self._in_image = restoration.view(self.probabilities)
        self._models, self._vote, self._counted = models, vote, keep.disputed and models > 1
        self._scheme = scheme
        self._way = Restorer(restoration)

    def __call__(self, planes: slice, logits: Tensor) -> None:
        """Take a slab ``[models · classes, planes, j, k]`` and label every voxel that needs no later one."""
        if self._in_network is not None:
            self._keep_probabilities(self._in_network[:, planes], logits)
        # One model's classes go through one by one; several models' are fused all at once.
        at_once = 1 if self._models == 1 and self._in_image is None else len(logits)
        self._way.take(planes, logits, self._label, at_once)

    def _keep_probabilities(self, kept: np.ndarray, logits: Tensor) -> None:
        """Put the models' mean probabilities of a slab in place, some planes and one model at a time."""
        step = planes_at_once(logits.device, logits[:, 0].numel() // self._models)
        for start in range(0, logits.shape[1], step):
            within = slice(start, start + step)
            total: Tensor | None = None
            for own in logits[:, within].chunk(self._models):
                each = self._scheme.probabilities(own.float())
                total = each if total is None else total.add_(each)
            assert total is not None
            kept[:, within] = total.div_(self._models).cpu().numpy()

    def _label(self, run: Planes) -> None:
        """Label some original planes."""
        planes = slice(run.start, run.stop)
        if run.scores.numel() >= MUCH:
            trim_memory()
        if self._models == 1:
            self._out[planes] = run.labels(self._scheme).cpu().numpy()
            if self._in_image is not None:
                logits = torch.stack(list(run.restored()))
                self._in_image[:, planes] = self._scheme.probabilities(logits).cpu().numpy()
            return
        fusion = (
            Fusion(self._vote, lambda scores: best_class(run.restored(scores)), counted=self._counted)
            if self._scheme.order is None
            else RegionFusion(self._vote, run.restored, self._scheme, counted=self._counted)
        )
        for model in run.scores.chunk(self._models):
            fusion.add(model)
        self._out[planes] = fusion.labels()
        if self._counted:
            self.disputed += fusion.disputed()
        if self._in_image is not None:
            for kept, mean in zip(self._in_image, run.restored(fusion.probabilities()), strict=True):
                kept[planes] = mean.cpu().numpy()


def allocate(
    shape: Sequence[int], room: int | None = None, *, exact: bool = False
) -> tuple[Tensor, Callable[[], None] | None]:
    """Return zeros in float32; past ``room`` bytes (default: what the machine has free) in half, then in a file.

    With ``exact``, never in half. The file has no name any more when this returns, so it vanishes with the tensor. The
    second value, of what is in a file alone, is a function that lets the pages that were touched leave memory.

    Raises:
        UserError: the disk has no room.
    """
    limit = free_memory() if room is None else room
    values = prod(shape)
    if 4 * values <= limit:
        return torch.zeros(tuple(shape), dtype=torch.float32), None
    if 2 * values <= limit and not exact:
        return torch.zeros(tuple(shape), dtype=torch.float16), None
    dtype, size = (torch.float32, 4 * values) if exact else (torch.float16, 2 * values)
    with tempfile.TemporaryFile() as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size) if hasattr(os, "posix_fallocate") else file.truncate(size)
        except OSError as error:
            raise UserError(
                f"{tempfile.gettempdir()}: no room for {size:,} bytes of scores that memory does not hold ({error}). "
                "Free some, or set TMPDIR to a folder on a larger disk."
            ) from error
        pages = mmap.mmap(file.fileno(), size)
    drop = partial(pages.madvise, mmap.MADV_DONTNEED) if hasattr(mmap, "MADV_DONTNEED") else None
    return torch.frombuffer(pages, dtype=dtype).view(tuple(shape)), drop
