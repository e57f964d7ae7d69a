"""From files to arrays that a network takes: orientation, crop, resampling, normalisation — with the way back kept."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from c2fnas.data.dataset import Case, LabelClass
from c2fnas.data.plan import ChannelPlan, Plan
from c2fnas.data.restoration import Restoration, Triple, box, orient, orientation
from c2fnas.data.volume import Volume, read_image, read_label

EPSILON = 1e-6


def prepare_image(images: Sequence[Path], plan: Plan, case: str = "") -> tuple[np.ndarray, Restoration]:
    """Read and prepare an image: float32 ``[channels, i, j, k]`` on the plan's grid, and the way back.

    Raises:
        CaseError: the image can't be read, or has another number of channels than the plan.
    """
    volume = read_image(images, case)
    return _prepare(volume, plan)


def prepare_case(case: Case, plan: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray, Restoration]:
    """Prepare a labelled case: image, label on the same grid, label on the file's own grid, and the way back."""
    assert case.label is not None
    classes = [LabelClass(each.name, each.values) for each in plan.classes]
    truth, _ = read_label(case.label, classes, case.id)
    image, way = _prepare(read_image(case.images, case.id), plan)
    label = orient(truth, way.order, way.flips)[box(way.start, way.cropped)]
    return image, resample_label(label, way.shape, len(classes)), truth, way


def _prepare(volume: Volume, plan: Plan) -> tuple[np.ndarray, Restoration]:
    order, flips = orientation(volume.geometry.matrix, plan.axes)
    array = orient(volume.array, order, flips)
    start, cropped = _nonzero_box(array) if plan.crop_nonzero else ((0, 0, 0), _shape(array))
    array = array[(slice(None), *box(start, cropped))]
    spacing = [volume.geometry.spacing[axis] for axis in order]
    shape = _target_shape(cropped, spacing, plan)
    way = Restoration(volume.geometry, order, flips, start, cropped, shape)
    channels = [
        normalise(resample_image(channel, shape), channel_plan)
        for channel, channel_plan in zip(array, plan.channels, strict=True)
    ]
    return np.stack(channels), way


def normalise(channel: np.ndarray, plan: ChannelPlan) -> np.ndarray:
    """CT: clip, then standardise with the training foreground's statistics. MR: standardise with the volume's own."""
    if plan.kind == "ct":
        assert plan.clip is not None
        channel, mean, std = np.clip(channel, *plan.clip), plan.mean, plan.std
    else:
        mean, std = float(channel.mean(dtype=np.float64)), float(channel.std(dtype=np.float64))
    return ((channel - np.float32(mean)) / np.float32(max(std or 0.0, EPSILON))).astype(np.float32)


def resample_image(channel: np.ndarray, shape: Triple) -> np.ndarray:
    """Third-order spline to ``shape``; the volume's faces stay where they are (voxels are boxes, not points)."""
    if channel.shape == shape:
        return np.ascontiguousarray(channel)
    factors = [new / old for new, old in zip(shape, channel.shape, strict=True)]
    return ndimage.zoom(channel, factors, order=3, mode="nearest", grid_mode=True).astype(np.float32)


def resample_label(label: np.ndarray, shape: Triple, classes: int) -> np.ndarray:
    """Each class in turn linearly, the largest wins; one class at a time keeps memory below three volumes."""
    if label.shape == shape:
        return np.ascontiguousarray(label)
    factors = [new / old for new, old in zip(shape, label.shape, strict=True)]
    best, result = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    for index in range(classes):
        mask = (label == index).astype(np.float32)
        if mask.any():
            share = ndimage.zoom(mask, factors, order=1, mode="nearest", grid_mode=True)
            result[share > best] = index
            np.maximum(best, share, out=best)
    return result


def _target_shape(shape: Triple, spacing: Sequence[float], plan: Plan) -> Triple:
    if plan.resize is not None:
        return plan.resize
    if plan.spacing is None:
        return shape
    i, j, k = (
        max(1, round(size * old / new)) for size, old, new in zip(shape, spacing, plan.spacing, strict=True)
    )
    return i, j, k


def _nonzero_box(array: np.ndarray) -> tuple[Triple, Triple]:
    """The smallest box that holds every voxel that is not zero in some channel; the whole where all are."""
    filled = ndimage.find_objects((array != 0).any(axis=0).astype(np.uint8))
    if not filled:
        return (0, 0, 0), _shape(array)
    i, j, k = filled[0]
    return (i.start, j.start, k.start), (i.stop - i.start, j.stop - j.start, k.stop - k.start)


def _shape(array: np.ndarray) -> Triple:
    i, j, k = array.shape[1:]
    return i, j, k
