"""Voxels of a prepared label that patches are centred on."""

import numpy as np

from c2fnas.data.scheme import LabelScheme

MOST_CENTRES = 50_000
"""Voxels of a class that are kept; of more, so many."""


def patch_centres(label: np.ndarray, scheme: LabelScheme) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return voxels ``[n, 3]`` of each class or region; and, where some are ignored, of all that are not.

    Those of a large class lie at even distances. Of those that are not ignored so many are drawn by chance: whole
    slices that were labelled come at even distances themselves, and some would never be met.
    """
    array = np.asarray(label)
    ignored = array == scheme.ignored if scheme.ignored is not None else np.zeros(1, bool)
    classes = [_spread(scheme.mask(array, number)) for number in range(len(scheme.names))]
    return classes, [_drawn(~ignored)] if ignored.any() and not ignored.all() else []


def _spread(inside: np.ndarray) -> np.ndarray:
    flat = np.flatnonzero(inside)
    return _voxels(flat[:: max(1, -(-len(flat) // MOST_CENTRES))], inside)


def _drawn(inside: np.ndarray) -> np.ndarray:
    flat = np.flatnonzero(inside)
    if len(flat) > MOST_CENTRES:
        flat = np.sort(np.random.default_rng(0).choice(flat, MOST_CENTRES, replace=False))
    return _voxels(flat, inside)


def _voxels(flat: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return np.stack(np.unravel_index(flat, inside.shape), axis=1).astype(np.int32)
