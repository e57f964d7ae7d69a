"""Augmentation of patches: the paper's quarter turns and flips, and a modern set in the manner of nnU-Net.

Every random number comes from the generator that is handed in, on the CPU, so a patch is the same wherever it is made,
but for rounding on a GPU.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal, Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from c2fnas.data.intensity import change_intensities
from c2fnas.data.plan import Plan
from c2fnas.data.warp import Warp
from c2fnas.shapes import Spacing


class Augmentation(Protocol):
    """Changes a patch by the random numbers it is given and by nothing else."""

    def __call__(
        self, image: Float[Tensor, "c i j k"], label: UInt8[Tensor, "i j k"], rng: np.random.Generator
    ) -> tuple[Float[Tensor, "c i j k"], UInt8[Tensor, "i j k"]]:
        """The changed patch, of the same size; its tensors may be those that were given, changed in place."""


def augmentation(name: Literal["paper", "modern", "none"], plan: Plan) -> Augmentation | None:
    """The augmentation that a recipe names."""
    return {"paper": paper_augmentation, "modern": modern_augmentation, "none": lambda plan: None}[name](plan)


def paper_augmentation(plan: Plan) -> Augmentation:
    """Rotation by 0, 90, 180 or 270° in planes of equal sides and spacings, and flips; nothing else (paper 4.1)."""
    return TurnsAndFlips(turning_planes(plan.patch_size, plan.spacing))


def modern_augmentation(plan: Plan) -> Augmentation:
    """Flips, rotation, scaling and intensities, each with a probability of its own (after nnU-Net)."""
    return Modern(plan.patch_size, plan.spacing or (1.0, 1.0, 1.0))


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
    """A warp of image and label, intensities of the image, flips of both."""

    def __init__(self, patch: Sequence[int], spacing: Spacing) -> None:
        self.warp, self.flips = Warp(patch, spacing), TurnsAndFlips()

    def __call__(self, image: Tensor, label: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Warp, change and flip."""
        image, label = self.warp(image, label, rng)
        image = change_intensities(image, rng)
        return self.flips(image, label, rng)
