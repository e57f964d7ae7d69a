"""Augmentation of patches: the paper's quarter turns and flips, and a modern set in the manner of nnU-Net.

Every random number comes from the generator that is handed in, on the CPU, so a patch is the same wherever it is made,
but for rounding on a GPU.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from c2fnas.data.plan import Plan
from c2fnas.shapes import Spacing

ROTATION_PROBABILITY = 0.2
LARGEST_ANGLE = np.pi / 6
ANISOTROPY = 3.0
"""Factor by which the last axis is coarser or shorter than the others where patches are warped only in the slices."""

Change = Callable[[Tensor, np.random.Generator], Tensor]

SPACE = (1, 2, 3)
TINY = 1e-6


class Scaling(NamedTuple):
    """The probability that a patch is scaled, and the least and the greatest factor."""

    probability: float
    least: float
    most: float


USUAL = Scaling(0.2, 0.7, 1.4)
"""nnU-Net's."""
WIDE = Scaling(0.6, 0.6, 1.7)
"""Of trainings that see each case many times; measured, see docs/decisions/0174."""


class Augmentation(Protocol):
    """Changes a patch by the random numbers it is given and by nothing else."""

    def __call__(
        self, image: Float[Tensor, "c i j k"], label: UInt8[Tensor, "i j k"], rng: np.random.Generator
    ) -> tuple[Float[Tensor, "c i j k"], UInt8[Tensor, "i j k"]]:
        """The changed patch, of the same size; its tensors may be those that were given, changed in place."""


Name = Literal["paper", "modern", "strong", "unmirrored", "none"]


def augmentation(name: Name, plan: Plan) -> Augmentation | None:
    """The augmentation that a recipe names."""
    if name == "none":
        return None
    if name == "paper":
        return paper_augmentation(plan)
    return modern_augmentation(plan, mirrored=name != "unmirrored", scaling=WIDE if name == "strong" else USUAL)


def paper_augmentation(plan: Plan) -> Augmentation:
    """Rotation by 0, 90, 180 or 270° in planes of equal sides and spacings, and flips; nothing else (paper 4.1)."""
    return TurnsAndFlips(turning_planes(plan.patch_size, plan.spacing))


def modern_augmentation(plan: Plan, mirrored: bool = True, scaling: Scaling = USUAL) -> Augmentation:
    """Rotation, scaling and intensities, each with a probability of its own, and flips (after nnU-Net)."""
    return Modern(plan.patch_size, plan.spacing or (1.0, 1.0, 1.0), mirrored, scaling, plan.scheme.outside)


def turning_planes(patch: Sequence[int], spacing: Sequence[float] | None) -> tuple[tuple[int, int], ...]:
    """The planes that a quarter turn maps onto themselves: equal sides of the patch and equal spacings.

    Volumes that are resized (no spacing) have voxels of no common size; there the sides decide.

    >>> turning_planes((96, 96, 96), (1, 1, 1)), turning_planes((128, 128, 32), (1, 1, 1))
    (((0, 1), (0, 2), (1, 2)), ((0, 1),))
    """
    mm = spacing or (1.0, 1.0, 1.0)
    return tuple(
        (a, b) for a, b in combinations(range(3), 2) if patch[a] == patch[b] and np.isclose(mm[a], mm[b], 1e-3)
    )


class TurnsAndFlips:
    """A random number of quarter turns in each of ``planes``, then a flip of each axis with probability ½."""

    def __init__(self, planes: Sequence[tuple[int, int]] = ()) -> None:
        self.planes = tuple(planes)

    def __call__(self, image: Tensor, label: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Turn and flip image and label alike."""
        for a, b in self.planes:
            turns = int(rng.integers(4))
            image, label = torch.rot90(image, turns, (a + 1, b + 1)), torch.rot90(label, turns, (a, b))
        axes = [axis for axis in range(3) if rng.random() < 0.5]
        return torch.flip(image, [axis + 1 for axis in axes]), torch.flip(label, axes)


class Modern:
    """A warp of image and label, intensities of the image, flips of both where they are ``mirrored``."""

    def __init__(
        self, patch: Sequence[int], spacing: Spacing, mirrored: bool = True, scaling: Scaling = USUAL, outside: int = 0
    ) -> None:
        self.warp, self.flips = Warp(patch, spacing, scaling, outside), TurnsAndFlips() if mirrored else None

    def __call__(self, image: Tensor, label: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Warp, change and flip."""
        image, label = self.warp(image, label, rng)
        image = change_intensities(image, rng)
        return self.flips(image, label, rng) if self.flips else (image, label)


class Warp:
    """With probability 0.2 a rotation by up to 30° about each axis, and now and then a scaling.

    Angles are true in millimetres. A patch of few or thick slices, or one that is flat in millimetres, turns and grows
    within its slices alone, as nnU-Net's do. What comes from outside the patch is zero, and of the class ``outside``.
    """

    def __init__(
        self, patch: Sequence[int], spacing: Sequence[float], scaling: Scaling = USUAL, outside: int = 0
    ) -> None:
        self._sides, self._spacing = np.array(patch, dtype=np.float64), np.array(spacing, dtype=np.float64)
        self._scaling, self._outside = scaling, outside
        few, short = (min(i, j) > ANISOTROPY * k for i, j, k in (self._sides, self._sides * self._spacing))
        self.flat = few or short or spacing[2] > ANISOTROPY * max(spacing[:2])
        self.turned_about = (2,) if self.flat else (0, 1, 2)

    def __call__(self, image: Tensor, label: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Warp image ``[c, i, j, k]`` linearly and label ``[i, j, k]`` by nearest neighbour, or leave both."""
        turned, scaled = rng.random() < ROTATION_PROBABILITY, rng.random() < self._scaling.probability
        if not turned and not scaled:
            return image, label
        angles = rng.uniform(-LARGEST_ANGLE, LARGEST_ANGLE, 3) if turned else np.zeros(3)
        scale = float(rng.uniform(self._scaling.least, self._scaling.most)) if scaled else 1.0
        return self.apply(image, label, angles, scale)

    def apply(self, image: Tensor, label: Tensor, angles: np.ndarray, scale: float) -> tuple[Tensor, Tensor]:
        """Turn by ``angles`` (radians, of those about the axes that may turn), enlarge by ``scale`` what may grow."""
        matrix = np.eye(3)
        for axis in self.turned_about:
            matrix = matrix @ rotation(axis, angles[axis])
        matrix[: 2 if self.flat else 3] /= scale
        # From millimetres to voxels to the cube [-1, 1]^3, in which torch counts, with its axes in reverse (k, j, i).
        unit = self._spacing * self._sides
        theta = torch.tensor((matrix * unit[None, :] / unit[:, None])[::-1, ::-1].copy(), dtype=torch.float32)
        affine = torch.cat([theta, torch.zeros(3, 1)], dim=1)[None].to(image.device)
        grid = functional.affine_grid(affine, [1, 1, *label.shape], align_corners=False)
        warped = functional.grid_sample(image[None], grid, mode="bilinear", align_corners=False)[0]
        inside = label[None, None].float() - self._outside  # torch fills with zeros
        classes = functional.grid_sample(inside, grid, mode="nearest", align_corners=False) + self._outside
        return warped, classes[0, 0].to(label.dtype)


def rotation(axis: int, angle: float) -> np.ndarray:
    """The rotation by ``angle`` about an axis."""
    matrix = np.eye(3)
    a, b = (other for other in range(3) if other != axis)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


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
    return _some_channels(image, rng, smoothed)


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
    return _some_channels(image, rng, _down_and_up)


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


def _some_channels(image: Tensor, rng: np.random.Generator, change: Callable[[Tensor, float], Tensor]) -> Tensor:
    """Each channel with probability ½ as ``change`` makes it of 0.5 to 1, drawn whether or not."""
    channels = []
    for channel in image:
        chosen, amount = rng.random() < 0.5, float(rng.uniform(0.5, 1.0))
        channels.append(change(channel, amount) if chosen else channel)
    return torch.stack(channels)


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
