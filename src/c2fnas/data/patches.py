"""Patches: a pure function of seed, iteration and slot, so that workers, ranks and resuming change nothing."""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from math import floor
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from c2fnas.data.augment import Augmentation
from c2fnas.data.cache import PreparedCase
from c2fnas.data.normalisation import NormalisedImage
from c2fnas.data.transfer import Batch, Transfer
from c2fnas.memory import free_memory, is_out_of_memory, release_memory
from c2fnas.shapes import Size

Image = Tensor | np.ndarray | NormalisedImage

AHEAD = 2
"""Batches that wait ready, besides those being made."""

RESIDENT_SHARE = 0.4
"""The share of a device's free memory that volumes may take; networks need the rest."""

HALF_MAX = torch.finfo(torch.half).max

ORDER, PATCH = 0, 1
"""Streams of random numbers: of the order of volumes, and of patches."""

log = logging.getLogger(__name__)


class PatchSampler:
    """Random patches of prepared cases; the paper takes two from each of eight volumes an iteration (4.1).

    Volumes come in a new random order every epoch. Of the patches, one in ``1 / foreground_rate`` is centred, as far as
    its volume reaches, on a voxel of a foreground class, drawn evenly among those present in the volume. Where some
    voxels of a volume are ignored, the other patches are centred likewise on a voxel that is not. Where a volume is
    smaller than the patch it lies anywhere in it, among zeros of the class ``outside``.

    Args:
        cases: what to sample from; every one with a label.
        patch_size: voxels of a patch.
        volumes: volumes an iteration, over all ranks.
        patches_per_volume: patches from each.
        seed: of everything random.
        foreground_rate: the share of patches that show foreground for certain.
        augmentation: what is done to a patch.
        rank: this process; it takes every ``world_size``-th patch.
        world_size: how many processes share an iteration.
        device: where patches go. Volumes are moved there once if they fit, and patches are made there, as long as
            there is memory for both; otherwise, and by default, patches are cut from the files, on the CPU.
        resident: False leaves the volumes in the files, whatever fits.
        half: keep the images of moved volumes in half precision; patches are float32 in any case.
        outside: index in labels of what lies beyond a volume.

    Raises:
        ValueError: there are no cases, or one without a label.
    """

    def __init__(
        self,
        cases: Sequence[PreparedCase],
        *,
        patch_size: Size,
        volumes: int,
        patches_per_volume: int,
        seed: int,
        foreground_rate: float = 0.0,
        augmentation: Augmentation | None = None,
        rank: int = 0,
        world_size: int = 1,
        device: str | torch.device | None = None,
        resident: bool = True,
        half: bool = False,
        outside: int = 0,
    ) -> None:
        self._cases = tuple(cases)
        if not self._cases or any(case.label is None for case in self._cases):
            raise ValueError("patches need at least one case, and a label for every one")
        self._patch, self._volumes, self._per_volume = patch_size, volumes, patches_per_volume
        self._seed, self._rate, self._augment, self._outside = seed, foreground_rate, augmentation, outside
        self._slots = range(volumes * patches_per_volume)[rank::world_size]
        place = None if device is None else torch.device(device)
        self._resident = _resident(self._cases, place, half) if resident else None
        self._transfer = Transfer(place)

    @property
    def resident(self) -> bool:
        """True if the volumes lie on the device."""
        return self._resident is not None

    def batch(self, iteration: int) -> Batch:
        """The patches of ``iteration`` that are this rank's, on the device or on their way there.

        Where there is no memory for them beside the volumes, these leave the device for good.
        """
        if self.resident:
            batch = self._beside_volumes(iteration)
            if batch is not None:
                return batch
            release_memory()
        return self._transfer.batch(partial(self._patches, iteration))

    def _beside_volumes(self, iteration: int) -> Batch | None:
        """The patches made on the device; None after giving up the volumes, once the error's frames are freed."""
        try:
            return self._transfer.batch(partial(self._patches, iteration))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            log.warning("Out of memory for patches beside the volumes on the device: going on with those in files.")
        self._transfer.wait()  # for what still reads them
        self._resident = None
        return None

    def _patches(self, iteration: int) -> tuple[Tensor, Tensor]:
        images, labels = zip(*(self._make(iteration, slot) for slot in self._slots), strict=True)
        return torch.stack(images), torch.stack(labels)

    def _make(self, iteration: int, slot: int) -> tuple[Tensor, Tensor]:
        number = self._volume(iteration * self._volumes + slot // self._per_volume)
        rng = np.random.default_rng((self._seed, PATCH, iteration, slot))
        patch = iteration * self._volumes * self._per_volume + slot
        image, label = self._pair(number)
        start = self._start(self._cases[number], label.shape, rng, foreground=_is_nth(patch, self._rate))
        patch_image = torch.as_tensor(crop(image, start, self._patch)).float()
        patch_label = torch.as_tensor(crop(label, start, self._patch, fill=self._outside))
        return self._augment(patch_image, patch_label, rng) if self._augment else (patch_image, patch_label)

    def _pair(self, number: int) -> tuple[Image, Tensor | np.ndarray]:
        """A case's image and label: on the device, or opened for this patch."""
        if (resident := self._resident) is not None:
            return resident[number]
        image, label = self._cases[number].image, self._cases[number].label
        assert label is not None
        return image, label

    def _volume(self, count: int) -> int:
        """The case that comes after ``count`` volumes."""
        epoch, place = divmod(count, len(self._cases))
        return int(_permutation(self._seed, epoch, len(self._cases))[place])

    def _start(self, case: PreparedCase, shape: Sequence[int], rng: np.random.Generator, foreground: bool) -> Size:
        """First voxel of a patch; below zero where the volume is smaller than the patch."""
        room = [size - side for size, side in zip(shape, self._patch, strict=True)]
        start = [int(rng.integers(min(0, free), max(0, free) + 1)) for free in room]
        present = [voxels for voxels in case.foreground if len(voxels)] if foreground else []
        present = present or [voxels for voxels in (case.known,) if voxels is not None]
        if present:
            voxels = present[int(rng.integers(len(present)))]
            middle = voxels[int(rng.integers(len(voxels)))]
            start = [
                min(max(int(centre) - side // 2, min(0, free)), max(0, free))
                for centre, side, free in zip(middle, self._patch, room, strict=True)
            ]
        return start[0], start[1], start[2]


@overload
def crop(array: Tensor, start: Sequence[int], size: Sequence[int], fill: int = 0) -> Tensor: ...


@overload
def crop(
    array: np.ndarray | NormalisedImage, start: Sequence[int], size: Sequence[int], fill: int = 0
) -> np.ndarray: ...


def crop(array: Image, start: Sequence[int], size: Sequence[int], fill: int = 0) -> Tensor | np.ndarray:
    """Return a copy of a box of the last three axes, ``fill`` where it lies outside the array."""
    low = [max(0, first) for first in start]
    high = [min(length, first + side) for length, first, side in zip(array.shape[-3:], start, size, strict=True)]
    shape, (i0, j0, k0), (i1, j1, k1) = (*array.shape[:-3], *size), low, high
    i, j, k = (slice(a - first, b - first) for a, b, first in zip(low, high, start, strict=True))
    result: Any = array.new_full(shape, fill) if isinstance(array, Tensor) else np.full(shape, fill, array.dtype)
    result[..., i, j, k] = array[..., i0:i1, j0:j1, k0:k1]
    return result


def prefetched(
    sampler: PatchSampler, start: int, stop: int, *, workers: int = 1, lone: bool = False
) -> Iterator[Batch]:
    """Yield the batches of iterations ``start`` to ``stop``, in order, made ahead by so many threads, or by none.

    ``lone``: they have no OpenMP team each. Beside that of a training on the CPU these would be more threads than
    cores, and then all of them wait asleep.
    """
    if workers < 1:
        yield from (sampler.batch(iteration).arrived() for iteration in range(start, stop))
        return
    pool = ThreadPoolExecutor(workers, "patches", partial(torch.set_num_threads, 1) if lone else None)
    waiting: deque[Future[Batch]] = deque()
    try:
        for iteration in range(start, stop):
            waiting.append(pool.submit(sampler.batch, iteration))
            if len(waiting) >= workers + AHEAD:
                yield waiting.popleft().result().arrived()
        while waiting:
            yield waiting.popleft().result().arrived()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@lru_cache(maxsize=8)
def _permutation(seed: int, epoch: int, cases: int) -> np.ndarray:
    """The order of cases in an epoch; no sampler holds it, which would keep its volumes on a GPU for longer."""
    return np.random.default_rng((seed, ORDER, epoch)).permutation(cases)


def _is_nth(number: int, rate: float) -> bool:
    """True if ``number`` is one of the patches, evenly spread, that make up ``rate`` of all.

    >>> [_is_nth(number, 1 / 3) for number in range(6)]
    [False, False, True, False, False, True]
    """
    return floor((number + 1) * rate) > floor(number * rate)


def _resident(
    cases: Sequence[PreparedCase], device: torch.device | None, half: bool
) -> list[tuple[Tensor, Tensor]] | None:
    """Images and labels on ``device``, or None where they don't fit."""
    if device is None:
        return None
    if device.type == "cuda":
        release_memory()  # what an earlier training or a validation has left there
    free = free_memory(device)
    half = half and device.type != "cpu"
    if sum(_bytes(case, half) for case in cases) > RESIDENT_SHARE * free:
        return None
    return [(_halved(case.image, half).to(device), torch.from_numpy(np.array(case.label)).to(device)) for case in cases]


def _bytes(case: PreparedCase, half: bool) -> int:
    return case.image.nbytes // (2 if half else 1) + (0 if case.label is None else case.label.nbytes)


def _halved(image: NormalisedImage, half: bool) -> Tensor:
    """The normalised image; in half precision no value, however far from the mean, becomes infinite."""
    values = torch.from_numpy(image[...])
    return values.clamp_(-HALF_MAX, HALF_MAX).half() if half else values
