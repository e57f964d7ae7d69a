"""Patches: a pure function of seed, iteration and slot, so that workers, ranks and resuming change nothing."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from c2fnas.data.augment import Augmentation
from c2fnas.data.cache import PreparedCase

AHEAD = 4


@dataclass(frozen=True)
class Batch:
    """Patches of one iteration."""

    image: Float[Tensor, "b c i j k"]
    label: Int[Tensor, "b i j k"]


class PatchSampler:
    """Random patches from prepared cases (paper 4.1: two random patches from each of eight volumes).

    Volumes are taken from a new random order in every epoch. With probability ``foreground_rate`` a patch is centred on a
    random voxel of a random foreground class of its volume. A volume smaller than the patch is padded with zeros and
    background. Ranks take every ``world_size``-th slot.
    """

    def __init__(
        self, cases: Sequence[PreparedCase], *, patch_size: tuple[int, int, int], volumes: int, patches_per_volume: int,
        seed: int, foreground_rate: float = 0.0, augmentation: Augmentation | None = None, rank: int = 0, world_size: int = 1,
    ) -> None:  # fmt: skip
        self._cases = tuple(cases)
        self._patch, self._volumes, self._per_volume = patch_size, volumes, patches_per_volume
        self._seed, self._rate, self._augment = seed, foreground_rate, augmentation
        self._slots = range(volumes * patches_per_volume)[rank::world_size]

    def batch(self, iteration: int) -> Batch:
        """The patches of ``iteration``."""
        pairs = [self._patch_at(iteration, slot) for slot in self._slots]
        image = torch.from_numpy(np.stack([image for image, _ in pairs]))
        return Batch(image, torch.from_numpy(np.stack([label for _, label in pairs]).astype(np.int64)))

    def _patch_at(self, iteration: int, slot: int) -> tuple[np.ndarray, np.ndarray]:
        case = self._cases[self._volume(iteration * self._volumes + slot // self._per_volume)]
        rng = np.random.default_rng((self._seed, 1, iteration, slot))
        start = self._start(case, rng)
        image, label = crop(case.image, start, self._patch), crop(case.label, start, self._patch)
        return self._augment(image, label, rng) if self._augment else (image, label)

    def _volume(self, number: int) -> int:
        """The case that is the ``number``-th volume since the start."""
        epoch, place = divmod(number, len(self._cases))
        return int(np.random.default_rng((self._seed, 0, epoch)).permutation(len(self._cases))[place])

    def _start(self, case: PreparedCase, rng: np.random.Generator) -> tuple[int, ...]:
        """First voxel of a patch; within the volume along axes where the patch fits, centred where it does not."""
        shape = case.image.shape[1:]
        room = [size - side for size, side in zip(shape, self._patch, strict=True)]
        anywhere = [int(rng.integers(0, max(0, free) + 1)) for free in room]
        present = [voxels for voxels in case.foreground if len(voxels)]
        if rng.random() < self._rate and present:
            voxels = present[int(rng.integers(len(present)))]
            centre = voxels[int(rng.integers(len(voxels)))]
            anywhere = [
                int(np.clip(middle - side // 2, 0, max(0, free)))
                for middle, side, free in zip(centre, self._patch, room, strict=True)
            ]
        return tuple(first if free >= 0 else -((-free) // 2) for first, free in zip(anywhere, room, strict=True))


def crop(array: np.ndarray, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """A copy of the box of the last three axes; what lies outside is zero."""
    lead = array.shape[: array.ndim - 3]
    result = np.zeros((*lead, *size), array.dtype)
    inside, target = [], []
    for first, side, length in zip(start, size, array.shape[-3:], strict=True):
        low, high = max(0, first), min(length, first + side)
        inside.append(slice(low, high))
        target.append(slice(low - first, high - first))
    result[(..., *target)] = array[(..., *inside)]
    return result


def prefetched(sampler: PatchSampler, start: int, stop: int, *, workers: int = 1) -> Iterator[Batch]:
    """The batches of iterations ``start`` to ``stop``, in order, made ahead in worker threads."""
    if workers < 1:
        yield from (sampler.batch(iteration) for iteration in range(start, stop))
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Batch]] = deque()
        for iteration in range(start, stop):
            waiting.append(pool.submit(sampler.batch, iteration))
            if len(waiting) > AHEAD + workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
