"""Changes of a patch's intensities: noise, blur, brightness, contrast, low resolution, gamma (nnU-Net's, in its order).

Images are ``[c, i, j, k]`` and float32. Each change draws what it needs from the generator and leaves its input as it
was.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Change = Callable[[Tensor, np.random.Generator], Tensor]

SPACE = (1, 2, 3)
TINY = 1e-6


def change_intensities(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Apply each change with its probability."""
    for probability, change in CHANGES:
        if rng.random() < probability:
            image = change(image, rng)
    return image


def noise(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Gaussian noise of a variance of up to 0.1."""
    values = rng.standard_normal(tuple(image.shape), dtype=np.float32)
    values *= np.float32(np.sqrt(rng.uniform(0, 0.1)))
    return image + torch.from_numpy(values).to(image.device)


def blur(image: Tensor, rng: np.random.Generator) -> Tensor:
    """A Gaussian of 0.5 to 1 voxel over each channel with probability ½."""
    channels = []
    for channel in image:
        chosen, sigma = rng.random() < 0.5, float(rng.uniform(0.5, 1.0))
        channels.append(smoothed(channel, sigma) if chosen else channel)
    return torch.stack(channels)


def smoothed(channel: Tensor, sigma: float) -> Tensor:
    """``[i, j, k]`` under a Gaussian of ``sigma`` voxels, cut at three of them, edges repeated."""
    radius = int(3 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis, size in enumerate(channel.shape):
        places = torch.arange(-radius, size + radius, device=channel.device).clamp_(0, size - 1)
        padded = channel.index_select(axis, places)
        channel = padded.narrow(axis, 0, size) * float(weights[0])
        for offset in range(1, 2 * radius + 1):
            channel.add_(padded.narrow(axis, offset, size), alpha=float(weights[offset]))
    return channel


def brightness(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Multiplied by 0.75 to 1.25."""
    return image * _per_channel(image, rng, 0.75, 1.25)


def contrast(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Spread about the mean by 0.75 to 1.25, within the range there was."""
    mean = _mean(image)
    spread = (image - mean) * _per_channel(image, rng, 0.75, 1.25) + mean
    return torch.clamp(spread, image.amin(SPACE, keepdim=True), image.amax(SPACE, keepdim=True))


def low_resolution(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Each channel with probability ½ sampled down to a share of 0.5 to 1 of its voxels per axis, and back."""
    channels = []
    for channel in image:
        chosen, share = rng.random() < 0.5, float(rng.uniform(0.5, 1.0))
        channels.append(_down_and_up(channel, share) if chosen else channel)
    return torch.stack(channels)


def gamma(image: Tensor, rng: np.random.Generator) -> Tensor:
    """The values, scaled to [0, 1], to the power of 0.7 to 1.5; mean and standard deviation are kept."""
    low = image.amin(SPACE, keepdim=True)
    span = (image.amax(SPACE, keepdim=True) - low).clamp_min_(TINY)
    curved = ((image - low) / span) ** _per_channel(image, rng, 0.7, 1.5)
    ratio = _std(image) / _std(curved).clamp_min_(TINY)
    return (curved - _mean(curved)) * ratio + _mean(image)


def inverted_gamma(image: Tensor, rng: np.random.Generator) -> Tensor:
    """:func:`gamma` of the negative."""
    return -gamma(-image, rng)


CHANGES: tuple[tuple[float, Change], ...] = (
    (0.1, noise),
    (0.2, blur),
    (0.15, brightness),
    (0.15, contrast),
    (0.25, low_resolution),
    (0.1, inverted_gamma),
    (0.3, gamma),
)


def _per_channel(image: Tensor, rng: np.random.Generator, low: float, high: float) -> Tensor:
    """A random factor for each channel, ``[c, 1, 1, 1]``."""
    factors = rng.uniform(low, high, len(image)).astype(np.float32)
    return torch.from_numpy(factors).to(image.device).view(-1, 1, 1, 1)


def _mean(image: Tensor) -> Tensor:
    """Per channel, summed in double precision, so that the number of threads doesn't show in the result."""
    return image.mean(SPACE, keepdim=True, dtype=torch.float64).float()


def _std(image: Tensor) -> Tensor:
    return (image - _mean(image)).square_().mean(SPACE, keepdim=True, dtype=torch.float64).sqrt_().float()


def _down_and_up(channel: Tensor, share: float) -> Tensor:
    size = tuple(channel.shape)
    small = [max(1, round(side * share)) for side in size]
    coarse = functional.interpolate(channel[None, None], size=small, mode="nearest-exact")
    return functional.interpolate(coarse, size=size, mode="trilinear", align_corners=False)[0, 0]
