"""Normalisation: CT by the foreground of the training cases, MR by each volume itself (decided, spec 3)."""

from collections.abc import Iterable, Sequence
from types import EllipsisType
from typing import NamedTuple

import numpy as np

from c2fnas.data.plan import ChannelPlan, Plan

Moments = tuple[tuple[float, float], ...]
"""Mean and standard deviation of each channel of a volume."""


class Statistics(NamedTuple):
    """Statistics of foreground voxels: their 0.5 and 99.5 percentiles, mean and standard deviation."""

    low: float
    high: float
    mean: float
    std: float


SAMPLES_PER_CASE = 10_000
"""Foreground voxels of a case that enter the statistics of CT."""

SLAB_VOXELS = 1 << 18
"""Voxels that are worked on at a time: as doubles they fit a processor's cache."""


def moments(array: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of ``[i, j, k]`` in double precision; no second volume is needed."""
    step = max(1, SLAB_VOXELS // max(1, array[0].size))
    slabs = [array[start : start + step] for start in range(0, len(array), step)]
    mean = sum(float(slab.sum(dtype=np.float64)) for slab in slabs) / array.size
    squares = sum(float(np.square(slab - np.float64(mean)).sum()) for slab in slabs)
    return mean, float(np.sqrt(squares / array.size))


def foreground_places(label: np.ndarray, ignored: int | None = None) -> np.ndarray:
    """Return at most :data:`SAMPLES_PER_CASE` places of foreground voxels, at even distances, in the flat array.

    Voxels of the index ``ignored`` are none.
    """
    flat, seen = label.reshape(-1), 0
    if ignored is not None:
        flat = (flat != 0) & (flat != ignored)
    step = max(1, -(-int(np.count_nonzero(flat)) // SAMPLES_PER_CASE))
    places = [np.zeros(0, np.int64)]
    for start in range(0, len(flat), SLAB_VOXELS):
        inside = np.flatnonzero(flat[start : start + SLAB_VOXELS])
        places.append(start + inside[-seen % step :: step])
        seen += len(inside)
    return np.concatenate(places)


def statistics(samples: Iterable[np.ndarray], channels: int) -> list[Statistics]:
    """Return the statistics of each channel over foreground voxels ``[channels, n]`` of some cases."""
    values = np.concatenate([np.zeros((channels, 0), np.float32), *samples], axis=1)
    values = values if values.shape[1] else np.zeros((channels, 1), np.float32)
    low, high = np.percentile(values, [0.5, 99.5], axis=1).tolist()
    mean, std = values.mean(axis=1, dtype=np.float64).tolist(), values.std(axis=1, dtype=np.float64).tolist()
    return [Statistics(*each) for each in zip(low, high, mean, std, strict=True)]


def with_statistics(channels: Sequence[ChannelPlan], samples: Iterable[np.ndarray]) -> tuple[ChannelPlan, ...]:
    """Return the channels, those of CT that have no numbers with the statistics of ``samples``.

    Args:
        channels: of the plan.
        samples: foreground voxels of each training case, ``[channels, n]``; read only where a channel needs them.
    """
    if all(each.complete for each in channels):
        return tuple(channels)
    found = statistics(samples, len(channels))
    return tuple(
        each
        if each.complete
        else each.model_copy(update={"clip": (own.low, own.high), "mean": own.mean, "std": max(own.std, 1e-6)})
        for each, own in zip(channels, found, strict=True)
    )


def normalise(channel: np.ndarray, plan: ChannelPlan, own: tuple[float, float]) -> None:
    """Normalise ``[i, j, k]`` float32 in place; a constant volume becomes zero.

    Args:
        channel: the values.
        plan: of the channel: clip, mean and standard deviation, or none of them.
        own: mean and standard deviation of the volume before it was resampled.

    Raises:
        ValueError: the plan of a CT channel has no numbers.
    """
    if not plan.complete:
        raise ValueError(f"the CT channel {plan.name!r} has no statistics: they are those of a fold's training cases")
    if plan.clip is not None:
        np.clip(channel, *plan.clip, out=channel)
    mean, std = own if plan.mean is None or plan.std is None else (plan.mean, plan.std)
    channel -= np.float32(mean)
    channel *= np.float32(1 / std if std > 1e-6 * max(1e-30, abs(mean)) else 0)


def normalise_image(image: np.ndarray, plan: Plan, own: Moments) -> None:
    """Normalise a resampled image ``[channels, i, j, k]`` in place, unless the plan has had it done before."""
    if not plan.clips_first:
        for values, channel, numbers in zip(image, plan.channels, own, strict=True):
            normalise(values, channel, numbers)


class NormalisedImage:
    """A resampled image that is normalised where it is read: ``image[..., i0:i1, j0:j1, k0:k1]`` is float32.

    Args:
        raw: ``[channels, i, j, k]``; a memory map, say.
        channels: their plans. Several plans for each channel, one set after the other, give as many channels: those of
            models that normalise differently.
        own: mean and standard deviation of each channel of the volume.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, raw: np.ndarray, channels: Sequence[ChannelPlan], own: Moments) -> None:
        self._raw, self._channels, self._own = raw, tuple(channels), own
        self.shape = (len(self._channels), *raw.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of the whole image."""
        return self._raw.nbytes // len(self._raw) * len(self._channels)

    def __getitem__(self, box: EllipsisType | tuple[EllipsisType | slice, ...]) -> np.ndarray:
        sets = len(self._channels) // len(self._own)
        values = np.concatenate([self._raw[box]] * sets)
        for part, channel, own in zip(values, self._channels, self._own * sets, strict=True):
            normalise(part, channel, own)
        return values

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return self[...] if dtype is None else self[...].astype(dtype)
