"""Preparation of files: axes, crop, resampling, normalisation (paper 4.1), with the way back kept.

And the voxels of a prepared label that patches are centred on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from c2fnas.data.dataset import Case
from c2fnas.data.normalisation import Moments, foreground_places, moments, normalise, normalise_image
from c2fnas.data.plan import Plan
from c2fnas.data.problem import CaseError
from c2fnas.data.resample import resample_image, resample_labels
from c2fnas.data.restoration import Restoration, nonzero_box
from c2fnas.data.scheme import LabelScheme
from c2fnas.data.volume import Volume, read_image, read_label
from c2fnas.memory import free_memory
from c2fnas.shapes import Size, Spacing
from c2fnas.text import crossed

Allocate = Callable[[str, tuple[int, ...], type], np.ndarray]
"""From ``(name, shape, dtype)`` to an array to fill; a memory map, say."""

MOST_CENTRES = 50_000
"""Voxels of a class that are kept; of more, so many."""


@dataclass(frozen=True)
class Preparation:
    """A case that was prepared.

    Attributes:
        way: the way back to the grid of its file.
        moments: mean and standard deviation of each channel before it was resampled.
        sample: some foreground voxels of its image, ``[channels, n]``; none without a label.
    """

    way: Restoration
    moments: Moments
    sample: np.ndarray


def prepare_image(
    images: Sequence[Path], plan: Plan, case: str = "", volume: Volume | None = None, spacing: Spacing | None = None
) -> tuple[np.ndarray, Restoration]:
    """Read, resample and normalise an image: float32 ``[channels, i, j, k]``, and the way back to the file's grid.

    A ``volume`` that is in memory already is not read but overwritten; ``images`` names it in messages. A ``spacing``
    that is stated counts in place of the header's.

    Raises:
        CaseError: a file is unsound, or there are more or fewer channels than the plan has.
    """
    image, way, found = resampled_image(images, plan, case, volume, spacing)
    normalise_image(image, plan, found)
    return image, way


def resampled_image(
    images: Sequence[Path], plan: Plan, case: str = "", volume: Volume | None = None, spacing: Spacing | None = None
) -> tuple[np.ndarray, Restoration, Moments]:
    """Read and resample an image that is yet to be normalised by :func:`normalise_image`.

    Raises:
        CaseError: as :func:`prepare_image`.
    """
    arrays: dict[str, np.ndarray] = {}

    def allocate(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        return arrays.setdefault(name, np.empty(shape, dtype))

    own = Case(case, tuple(images), None, spacing=spacing)
    way, found = _resample(volume or read_image(images, case), own, plan, allocate)
    return arrays["image"], way, found


def prepare_case(case: Case, plan: Plan, allocate: Allocate) -> Preparation:
    """Prepare a case into arrays that ``allocate`` gives.

    They are ``image`` float32 ``[channels, i, j, k]``, resampled and yet to be normalised, and, where there is a label,
    ``label`` and ``truth``, uint8 class indices in the prepared and in the original grid.

    Raises:
        CaseError: a file is unsound, or label and image don't lie on one grid.
    """
    if case.label is None:
        volume = read_image(case.images, case.id)
        return Preparation(*_resample(volume, case, plan, allocate), volume.array[:, 0, 0, :0])
    labels, _ = read_label(case.label, plan.scheme.parts, case.id, case.images[0])  # first: it takes less memory
    volume = read_image(case.images, case.id)
    sample = volume.array.reshape(len(volume.array), -1)[:, foreground_places(labels, plan.scheme.ignored)]
    way, found = _resample(volume, case, plan, allocate)
    del volume  # the image's memory is free while the label is resampled
    allocate("truth", labels.shape, np.uint8)[...] = labels
    resample_labels(way.view(labels), way.shape, way.nearest_axis, out=allocate("label", way.shape, np.uint8))
    return Preparation(way, found, sample)


def patch_centres(label: np.ndarray, scheme: LabelScheme) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return voxels ``[n, 3]`` of each class or region; and, where some are ignored, of all that are not.

    Those of a large class lie at even distances. Of those that are not ignored so many are drawn by chance: whole
    slices that were labelled come at even distances themselves, and some would never be met.
    """
    array = np.asarray(label)
    ignored = array == scheme.ignored if scheme.ignored is not None else np.zeros(1, bool)
    classes = [_spread(scheme.mask(array, number)) for number in range(len(scheme.names))]
    return classes, [_drawn(~ignored)] if ignored.any() and not ignored.all() else []


def prepared_shape(shape: Size, spacing: Sequence[float], plan: Plan) -> Size:
    """Return the voxels of a resampled volume: the extent is kept to half a voxel, so the corners coincide."""
    if plan.resize is not None:
        return plan.resize
    assert plan.spacing is not None
    i, j, k = (max(1, round(n * mm / new)) for n, mm, new in zip(shape, spacing, plan.spacing, strict=True))
    return i, j, k


def through_plane(spacing: Sequence[float], plan: Plan) -> int | None:
    """Return the axis to resample by nearest neighbour: one far coarser than the others, in the case or the plan.

    Between thick slices a spline invents what the scanner did not see; nnU-Net separates the axis likewise.
    """
    if plan.nearest_beyond is None or plan.spacing is None:
        return None
    for mm in (spacing, plan.spacing):
        axis = int(np.argmax(mm))
        if mm[axis] > plan.nearest_beyond * max(other for index, other in enumerate(mm) if index != axis):
            return axis
    return None


def _resample(volume: Volume, case: Case, plan: Plan, allocate: Allocate) -> tuple[Restoration, Moments]:
    _check_channels(len(volume.array), case.images, plan, case.id)
    way = Restoration.to_axes(volume.geometry.with_spacing(case.spacing), plan.axes)
    if plan.crop_nonzero:
        way = way.cropped(nonzero_box(way.view(volume.array)))
    way = way.to_shape(prepared_shape(way.crop_shape, way.spacing, plan), through_plane(way.spacing, plan))
    _refuse_beyond_memory(len(volume.array), way, case.images, case.id)
    target = allocate("image", (len(volume.array), *way.shape), np.float32)
    found = []
    for values, out, channel in zip(way.view(volume.array), target, plan.channels, strict=True):
        found.append(moments(values))
        if plan.clips_first:
            normalise(values, channel, found[-1])
        resample_image(values, way.shape, way.nearest_axis, out=out)
    return way, tuple(found)


def _check_channels(found: int, images: Sequence[Path], plan: Plan, case: str) -> None:
    if found != len(plan.channels):
        names = ", ".join(channel.name for channel in plan.channels)
        fix = "Give the same channels, in the same order, as the training images have."
        raise CaseError(case, images[0], f"{found} channels", f"{len(plan.channels)} ({names})", fix)


def _refuse_beyond_memory(channels: int, way: Restoration, images: Sequence[Path], case: str) -> None:
    """A wrong spacing, in a header or in a plan of unknown origin, makes a volume that no memory holds."""
    needed, free = 4 * channels * prod(way.shape), free_memory()
    if needed > free:
        mm = crossed(way.spacing)
        found = f"{crossed(way.shape)} voxels after resampling from a spacing of {mm} mm, {needed:,} bytes"
        fix = (
            "State the true spacing with --spacing, or correct that of the plan that it is resampled by. If both are "
            "right, free some memory, or plan a coarser grid."
        )
        raise CaseError(case, images[0], found, f"at most {free:,} bytes, the memory that is free", fix)


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
