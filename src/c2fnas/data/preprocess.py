"""From files to what networks see: axes, crop, normalisation, resampling (paper 4.1), with the way back kept."""

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path

import numpy as np
import psutil

from c2fnas.data.dataset import Case
from c2fnas.data.fingerprint import moments, nonzero_box
from c2fnas.data.plan import ChannelPlan, Plan
from c2fnas.data.problem import CaseError
from c2fnas.data.resample import resample_image, resample_labels
from c2fnas.data.restoration import Restoration
from c2fnas.data.volume import Volume, grid_findings, read_image, read_label
from c2fnas.shapes import Size

Allocate = Callable[[str, tuple[int, ...], type], np.ndarray]
"""``(name, shape, dtype)`` to an array to fill; a memory map, say."""


def prepare_image(
    images: Sequence[Path], plan: Plan, case: str = "", volume: Volume | None = None
) -> tuple[np.ndarray, Restoration]:
    """Read and prepare an image: float32 ``[channels, i, j, k]``, and the way back to the grid of its file.

    A ``volume`` that is in memory already is not read but overwritten; ``images`` names it in messages.

    Raises:
        CaseError: a file is unsound, or there are more or fewer channels than the plan has.
    """
    return _prepare_image(volume or read_image(images, case), images, plan, case, _in_memory)


def prepare_case(case: Case, plan: Plan, allocate: Allocate) -> Restoration:
    """Prepare a case into arrays that ``allocate`` gives.

    They are ``image`` float32 ``[channels, i, j, k]`` and, where there is a label, ``label`` and ``truth``, uint8 class
    indices in the prepared and in the original grid.

    Raises:
        CaseError: a file is unsound, or label and image don't lie on one grid.
    """
    way = _prepare_image(read_image(case.images, case.id), case.images, plan, case.id, allocate)[1]
    if case.label is None:
        return way
    labels, geometry = read_label(case.label, plan.label_classes, case.id)
    for finding in grid_findings(geometry, way.original, case.images[0].name):
        raise CaseError.of(finding, case.id, case.label)
    allocate("truth", labels.shape, np.uint8)[...] = labels
    resample_labels(way.view(labels), way.shape, way.nearest_axis, out=allocate("label", way.shape, np.uint8))
    return way


def normalise(channel: np.ndarray, plan: ChannelPlan) -> None:
    """Normalise ``[i, j, k]`` float32 in place (decided, spec 3).

    CT: clipped to the 0.5 and 99.5 percentiles of the training foreground, then standardised with its mean and standard
    deviation. MR: standardised with the volume's own; a constant volume becomes zero.
    """
    if plan.clip is not None:
        np.clip(channel, *plan.clip, out=channel)
    mean, std = (plan.mean, plan.std) if plan.mean is not None and plan.std is not None else moments(channel)
    channel -= np.float32(mean)
    channel *= np.float32(1 / std if std > 1e-6 * max(1e-30, abs(mean)) else 0)


def prepared_shape(shape: Size, spacing: Sequence[float], plan: Plan) -> Size:
    """Voxels of a volume once it is resampled: the extent is kept to half a voxel, so the corners coincide."""
    if plan.resize is not None:
        return plan.resize
    assert plan.spacing is not None
    i, j, k = (max(1, round(n * mm / new)) for n, mm, new in zip(shape, spacing, plan.spacing, strict=True))
    return i, j, k


def through_plane(spacing: Sequence[float], plan: Plan) -> int | None:
    """The axis to resample by nearest neighbour: one far coarser than the others, in the case or in the plan.

    Between thick slices a spline invents what the scanner did not see; nnU-Net separates the axis likewise.
    """
    if plan.nearest_beyond is None or plan.spacing is None:
        return None
    for mm in (spacing, plan.spacing):
        axis = int(np.argmax(mm))
        if mm[axis] > plan.nearest_beyond * max(other for index, other in enumerate(mm) if index != axis):
            return axis
    return None


def _prepare_image(
    volume: Volume, images: Sequence[Path], plan: Plan, case: str, allocate: Allocate
) -> tuple[np.ndarray, Restoration]:
    _check_channels(len(volume.array), images, plan, case)
    way = Restoration.to_axes(volume.geometry, plan.axes)
    if plan.crop_nonzero:
        way = way.cropped(nonzero_box(way.view(volume.array)))
    way = way.to_shape(prepared_shape(way.crop_shape, way.spacing, plan), through_plane(way.spacing, plan))
    _refuse_beyond_memory(len(volume.array), way, images, case)
    prepared = allocate("image", (len(volume.array), *way.shape), np.float32)
    for source, target, channel in zip(way.view(volume.array), prepared, plan.channels, strict=True):
        normalise(source, channel)
        resample_image(source, way.shape, way.nearest_axis, out=target)
    return prepared, way


def _check_channels(found: int, images: Sequence[Path], plan: Plan, case: str) -> None:
    if found != len(plan.channels):
        names = ", ".join(channel.name for channel in plan.channels)
        mend = "Give the same channels, in the same order, as the training images have."
        raise CaseError(case, images[0], f"{found} channels", f"{len(plan.channels)} ({names})", mend)


def _refuse_beyond_memory(channels: int, way: Restoration, images: Sequence[Path], case: str) -> None:
    """A wrong spacing, in a header or in a plan of unknown origin, makes a volume that no memory holds."""
    needed, memory = 4 * channels * prod(way.shape), psutil.virtual_memory().total
    if needed > memory:
        sides, mm = ("×".join(map(str, sides)) for sides in (way.shape, map("{:g}".format, way.spacing)))
        found = f"{sides} voxels after resampling from a spacing of {mm} mm, {needed:,} bytes"
        mend = "Correct the spacing in the file's header, or else in the plan that it is resampled by."
        raise CaseError(case, images[0], found, f"at most {memory:,} bytes, this machine's memory", mend)


def _in_memory(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.empty(shape, dtype=dtype)
