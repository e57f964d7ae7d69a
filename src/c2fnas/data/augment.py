"""Augmentation of patches: the paper's rotations and flips, and a modern set with intensities."""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal, Protocol

import numpy as np

from c2fnas.data.plan import Plan


class Augmentation(Protocol):
    """Changes a patch by the random numbers it is given and by nothing else."""

    def __call__(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """``image`` float32 ``[c, i, j, k]`` and ``label`` uint8 ``[i, j, k]``, of unchanged shape."""


def augmentation(name: Literal["paper", "modern", "none"], plan: Plan) -> Augmentation | None:
    """The augmentation that a recipe names."""
    if name == "none":
        return None
    turns = RotationsAndFlips(turning_planes(plan.patch_size, plan.spacing))
    return turns if name == "paper" else Modern()


def turning_planes(patch: Sequence[int], spacing: Sequence[float] | None) -> tuple[tuple[int, int], ...]:
    """The planes whose two patch sides and spacings are equal, where a quarter turn keeps shape and anatomy."""
    mm = spacing or (1.0, 1.0, 1.0)
    return tuple(
        (a, b) for a, b in combinations(range(3), 2) if patch[a] == patch[b] and abs(mm[a] - mm[b]) <= 1e-3 * mm[a]
    )


class RotationsAndFlips:
    """Rotations by 0, 90, 180 or 270° in each of ``planes``, then a flip of each axis with probability ½ (paper 4.1)."""

    def __init__(self, planes: Sequence[tuple[int, int]]) -> None:
        self._planes = tuple(planes)

    def __call__(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Turn and flip both alike."""
        for a, b in self._planes:
            quarter = int(rng.integers(4))
            image, label = np.rot90(image, quarter, (a + 1, b + 1)), np.rot90(label, quarter, (a, b))
        axes = tuple(np.flatnonzero(rng.random(3) < 0.5).tolist())
        image, label = np.flip(image, tuple(axis + 1 for axis in axes)), np.flip(label, axes)
        return np.ascontiguousarray(image), np.ascontiguousarray(label)


class Modern:
    """Small rotation and scaling, gamma, brightness, contrast and noise, each with a probability of its own; and flips."""

    def __call__(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Change geometry of both, intensities of the image."""
        if rng.random() < 0.3:
            image, label = _affine(image, label, rng)
        image, label = RotationsAndFlips(())(image, label, rng)
        if rng.random() < 0.15:
            image = image + rng.normal(0, rng.uniform(0, 0.3), image.shape).astype(np.float32)
        if rng.random() < 0.15:
            image = image * np.float32(rng.uniform(0.75, 1.25))
        if rng.random() < 0.15:
            image = _contrast(image, rng.uniform(0.75, 1.25))
        if rng.random() < 0.3:
            image = _gamma(image, rng.uniform(0.7, 1.5))
        return image, label


def _affine(image: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A rotation of at most 15° about every axis and a scaling by 0.85 to 1.2, linear for images, nearest for labels."""
    import torch
    from torch.nn import functional

    angles, scale = rng.uniform(-np.pi / 12, np.pi / 12, 3), rng.uniform(0.85, 1.2)
    sides = np.array(label.shape[::-1], dtype=np.float64)
    matrix = _rotation(angles) / scale * (sides[None, :] / sides[:, None])
    theta = torch.tensor(np.hstack([matrix, np.zeros((3, 1))])[None], dtype=torch.float32)
    grid = functional.affine_grid(theta, [1, 1, *label.shape], align_corners=False)
    turned = functional.grid_sample(torch.from_numpy(image)[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    classes = torch.from_numpy(label.astype(np.float32))[None, None]
    turned_label = functional.grid_sample(classes, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return turned[0].numpy(), turned_label[0, 0].round().numpy().astype(np.uint8)


def _rotation(angles: np.ndarray) -> np.ndarray:
    """The rotation by three angles, one about each axis."""
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = (other for other in range(3) if other != axis)
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        result = result @ turn
    return result


def _contrast(image: np.ndarray, factor: float) -> np.ndarray:
    mean = image.mean(axis=(1, 2, 3), keepdims=True)
    return ((image - mean) * np.float32(factor) + mean).astype(np.float32)


def _gamma(image: np.ndarray, gamma: float) -> np.ndarray:
    """Gamma on the range of each channel, with its mean and standard deviation kept."""
    axes = (1, 2, 3)
    low, high = image.min(axis=axes, keepdims=True), image.max(axis=axes, keepdims=True)
    span = np.maximum(high - low, 1e-6)
    curved = ((image - low) / span) ** np.float32(gamma)
    mean, std = image.mean(axis=axes, keepdims=True), image.std(axis=axes, keepdims=True)
    curved = (curved - curved.mean(axis=axes, keepdims=True)) / np.maximum(curved.std(axis=axes, keepdims=True), 1e-6)
    return (curved * std + mean).astype(np.float32)
