"""Whole volumes through a network that sees patches: windows at integer strides, blended, in bounded memory."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from c2fnas.data.normalisation import NormalisedImage
from c2fnas.data.patches import Image, crop
from c2fnas.inference.forward import Forward
from c2fnas.inference.sinks import LabelSink, ScoreSink
from c2fnas.inference.windows import Blend, Sink, Weighting, importance, padding_before, window_starts
from c2fnas.memory import used_memory
from c2fnas.shapes import Size
from c2fnas.training.recipe import Precision

SinkT = TypeVar("SinkT", bound=Sink)
Item = TypeVar("Item")


@dataclass(frozen=True)
class SlidingWindow:
    """Sliding-window inference (paper 4.1: stride 16 for validation, 48 for ranking).

    What is blended are the network's logits, as MONAI and nnU-Net do. Windows lie where MONAI's
    ``sliding_window_inference`` puts them for the same stride; a volume smaller than the patch is padded with zeros
    and cropped back.

    Args:
        patch_size: Voxels of a window per axis.
        stride: Voxels between windows per axis, integers: an overlap of 80/96 as a fraction would become stride 15.
        weighting: ``constant`` (paper) or ``gaussian``.
        batch: Windows per forward pass, of the last one too, which is filled up; None for as many as the device has
            room and use for, see :func:`c2fnas.inference.windows.windows_at_a_time`.
        precision: Of the network; sums are float32 in any case.
        max_memory: Bytes that this process may take, of the GPU's memory or, computing on the CPU, of the machine's:
            windows go in smaller batches, and sums that don't fit go to a temporary file.

    Raises:
        ValueError: a stride is below 1 or longer than the patch, which would leave gaps.
    """

    patch_size: Size
    stride: Size
    weighting: Weighting = "gaussian"
    batch: int | None = None
    precision: Precision = "fp32"
    max_memory: int | None = None

    def __post_init__(self) -> None:
        for side, step in zip(self.patch_size, self.stride, strict=True):
            if not 1 <= step <= side:
                raise ValueError(f"stride {self.stride} does not cover a volume with patches of {self.patch_size}")
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"batch {self.batch}: at least one window at a time")

    def windows(self, shape: Size) -> tuple[Size, ...]:
        """Return the first voxels of the windows of a volume of ``shape``, padded to at least the patch.

        >>> SlidingWindow(patch_size=(8, 8, 8), stride=(4, 8, 8)).windows((10, 8, 3))
        ((0, 0, 0), (2, 0, 0))
        """
        return window_starts(shape, self.patch_size, self.stride)

    def scores(self, network: nn.Module, image: Image, *, device: str | torch.device = "auto") -> Tensor:
        """Return blended logits ``[classes, i, j, k]`` in main memory of an image ``[channels, i, j, k]``."""
        room = None if self.max_memory is None else max(0, self.max_memory - used_memory())
        sink = ScoreSink(_shape(image), room)
        return next(self.stream(network, [(image, sink)], device=device)).scores

    def labels(self, network: nn.Module, image: Image, *, device: str | torch.device = "auto") -> np.ndarray:
        """Return the best class of every voxel, uint8 ``[i, j, k]``; the scores of a whole volume never exist."""
        return next(self.stream(network, [(image, LabelSink(_shape(image)))], device=device)).labels

    def stream(
        self, network: nn.Module, volumes: Iterable[tuple[Image, SinkT]], *, device: str | torch.device = "auto"
    ) -> Iterator[SinkT]:
        """Every volume into its sink; yields the sink when its volume is complete, in order.

        A batch may hold windows of two volumes, so that small volumes of one window each still run in batches. Volumes
        are drawn as they are needed: with few windows each, at most a batch of them are in memory. Every pass is of
        as many windows unless memory is short, so that on a CPU a volume's logits are the same whichever volumes come
        with it (docs/decisions/0093).

        Raises:
            NonFiniteLogits: the network gives NaN or infinity.
            UserError: one window does not fit into memory.
        """
        with evaluating(network):
            forward = Forward(network, device, self.precision, self.max_memory, self.batch)
            waiting = self._tasks(volumes, forward.room)
            first = next(waiting, None)
            if first is None:
                return
            size = forward.size(first.patch(self.patch_size)[None])
            for tasks in batched(chain([first], waiting), size):
                logits = forward(np.stack([task.patch(self.patch_size) for task in tasks]))
                for task, scores in zip(tasks, logits, strict=True):
                    task.blend.add(task.start, scores)
                    if task.last:
                        task.blend.close()
                        yield task.sink

    def _tasks(
        self, volumes: Iterable[tuple[Image, SinkT]], room: Callable[[], int | None]
    ) -> "Iterator[_Task[SinkT]]":
        weights = importance(self.patch_size, self.weighting)
        for image, sink in volumes:
            shape = _shape(image)
            array = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
            blend = Blend(shape, weights, sink, room)
            starts = self.windows(shape)
            for start in starts:
                yield _Task(array, start, blend, sink, last=start == starts[-1])


@dataclass(frozen=True)
class _Task(Generic[SinkT]):
    """One window of a volume."""

    image: np.ndarray | NormalisedImage
    start: Size
    blend: Blend
    sink: SinkT
    last: bool

    def patch(self, size: Size) -> np.ndarray:
        """Return the window's voxels ``[channels, *size]``, float32; what lies outside of the volume is zero."""
        before = padding_before(_shape(self.image), size)
        corner = [start - padding for start, padding in zip(self.start, before, strict=True)]
        return crop(self.image, corner, size).astype(np.float32, copy=False)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, and back in the mode it was in."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def _shape(image: Image) -> Size:
    i, j, k = image.shape[1:]
    return i, j, k


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of ``size`` items, in order; the last one may be shorter."""
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch
