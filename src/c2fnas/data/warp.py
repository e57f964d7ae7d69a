"""Rotation and scaling of a patch about its centre, in one interpolation."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

ROTATION_PROBABILITY = 0.2
SCALING_PROBABILITY = 0.2
LARGEST_ANGLE = np.pi / 6
SCALES = (0.7, 1.4)
ANISOTROPY = 3.0
"""Where the last axis is this many times coarser or shorter than the others, patches turn only in the slices' plane."""


class Warp:
    """With probability 0.2 a rotation by up to 30° about each axis, with probability 0.2 a scaling by 0.7 to 1.4.

    Angles are true in millimetres. What comes from outside the patch is zero, and background.
    """

    def __init__(self, patch: Sequence[int], spacing: Sequence[float]) -> None:
        self._sides, self._spacing = np.array(patch, dtype=np.float64), np.array(spacing, dtype=np.float64)
        flat = min(patch[:2]) > ANISOTROPY * patch[2] or spacing[2] > ANISOTROPY * max(spacing[:2])
        self.turned_about = (2,) if flat else (0, 1, 2)

    def __call__(self, image: Tensor, label: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Warp image ``[c, i, j, k]`` linearly and label ``[i, j, k]`` by nearest neighbour, or leave both."""
        turned, scaled = rng.random() < ROTATION_PROBABILITY, rng.random() < SCALING_PROBABILITY
        if not turned and not scaled:
            return image, label
        angles = rng.uniform(-LARGEST_ANGLE, LARGEST_ANGLE, 3) if turned else np.zeros(3)
        scale = float(rng.uniform(*SCALES)) if scaled else 1.0
        return self.apply(image, label, angles, scale)

    def apply(self, image: Tensor, label: Tensor, angles: np.ndarray, scale: float) -> tuple[Tensor, Tensor]:
        """Turn by ``angles`` (radians, of those about the axes that may turn) and enlarge by ``scale``."""
        matrix = np.eye(3)
        for axis in self.turned_about:
            matrix = matrix @ rotation(axis, angles[axis])
        matrix /= scale
        # From millimetres to voxels to the cube [-1, 1]^3, in which torch counts, with its axes in reverse (k, j, i).
        unit = self._spacing * self._sides
        theta = torch.tensor((matrix * unit[None, :] / unit[:, None])[::-1, ::-1].copy(), dtype=torch.float32)
        affine = torch.cat([theta, torch.zeros(3, 1)], dim=1)[None].to(image.device)
        grid = functional.affine_grid(affine, [1, 1, *label.shape], align_corners=False)
        warped = functional.grid_sample(image[None], grid, mode="bilinear", align_corners=False)[0]
        classes = functional.grid_sample(label[None, None].float(), grid, mode="nearest", align_corners=False)
        return warped, classes[0, 0].to(label.dtype)


def rotation(axis: int, angle: float) -> np.ndarray:
    """The rotation by ``angle`` about an axis."""
    matrix = np.eye(3)
    a, b = (other for other in range(3) if other != axis)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix
