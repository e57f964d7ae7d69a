"""Distances between surfaces, in millimetres, through MONAI: surface Dice at a tolerance and the Hausdorff distance."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from c2fnas.data.restoration import box_of
from c2fnas.data.scheme import LabelScheme
from c2fnas.shapes import Spacing

Scores = tuple[float | None, ...]


def surface_dice_per_class(
    prediction: np.ndarray, truth: np.ndarray, scheme: LabelScheme, spacing: Spacing, tolerance: float
) -> Scores:
    """Return the share of both surfaces that lies within ``tolerance`` mm of the other, per foreground class or region.

    Args:
        prediction: Indices of the scheme's parts ``[i, j, k]``.
        truth: Indices too; where it is ignored, the prediction counts as background.
        scheme: Of the labels.
        spacing: Millimetres between voxels per axis.
        tolerance: Millimetres.

    Returns:
        None where both are empty, 0 where one is.
    """
    from monai.metrics import compute_surface_dice

    def score(ours: Tensor, theirs: Tensor) -> float:
        with _quietly():
            return float(compute_surface_dice(ours, theirs, [tolerance], include_background=True, spacing=spacing))

    return tuple(
        None if not a.any() and not b.any() else 0.0 if not a.any() or not b.any() else score(a, b)
        for a, b in _masks(prediction, truth, scheme)
    )


def hausdorff95_per_class(
    prediction: np.ndarray, truth: np.ndarray, scheme: LabelScheme, spacing: Spacing, of_miss: float | None = None
) -> Scores:
    """Return the 95th percentile of the surfaces' distance in mm, the larger direction, per foreground class or region.

    Returns:
        None where both are empty, and ``of_miss`` where one is: there is no distance to nothing.
    """
    from monai.metrics.utils import get_edge_surface_distance

    def score(ours: Tensor, theirs: Tensor) -> float:
        with _quietly():
            _, both, _ = get_edge_surface_distance(ours[0, 0], theirs[0, 0], spacing=spacing, symmetric=True)
        return max(float(np.percentile(way, 95)) for way in both)  # MONAI's own fails beyond 2^24 voxels of a surface

    return tuple(
        score(a, b) if a.any() and b.any() else of_miss if a.any() or b.any() else None
        for a, b in _masks(prediction, truth, scheme)
    )


@contextmanager
def _quietly() -> Iterator[None]:
    # MONAI warns of an argument that it gives itself.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)
        yield


def _masks(prediction: np.ndarray, truth: np.ndarray, scheme: LabelScheme) -> Iterator[tuple[Tensor, Tensor]]:
    """Both masks ``[1, 1, i, j, k]`` of each foreground class, cut to the voxels that either has, plus a border."""
    if scheme.ignored is not None:
        prediction = np.where(truth == scheme.ignored, 0, prediction)
    for number in range(len(scheme.names)):
        yield tuple(torch.from_numpy(mask)[None, None] for mask in _cut(prediction, truth, scheme, number))  # type: ignore[misc]


def _cut(prediction: np.ndarray, truth: np.ndarray, scheme: LabelScheme, number: int) -> list[np.ndarray]:
    """Both masks of a class, cut. A surface at the image's border is one, so the cut changes no distance."""
    ours, theirs = scheme.mask(prediction, number), scheme.mask(truth, number)
    either = ours | theirs
    sides = box_of(either) if either.any() else ((0, 1),) * 3
    return [np.pad(mask[tuple(slice(*side) for side in sides)], 1) for mask in (ours, theirs)]
