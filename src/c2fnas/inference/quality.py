"""Remarks on a case that is unlike those a model was trained on, before it is computed and after."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from math import prod
from typing import Any, Self

import numpy as np

from c2fnas.data.cache import PreparedCase
from c2fnas.data.dataset import Case
from c2fnas.data.fingerprint import CaseFingerprint, alike
from c2fnas.data.geometry import Geometry
from c2fnas.data.normalisation import moments
from c2fnas.data.plan import ChannelPlan, Plan
from c2fnas.data.preprocess import prepared_shape
from c2fnas.data.problem import CaseError
from c2fnas.data.restoration import Restoration
from c2fnas.data.volume import Volume, read_geometry
from c2fnas.errors import UserError
from c2fnas.frozen import Frozen
from c2fnas.memory import free_memory
from c2fnas.shapes import Spacing
from c2fnas.text import crossed, some

log = logging.getLogger(__name__)
Range = tuple[float, float]
Grid = tuple[str, Geometry, Spacing | None]
"""An image's name, its grid by its header, and the spacing that is stated in place of the header's."""

MARGIN = 1.25
"""Factor by which a volume or a spacing may leave the range of training."""

DEVIATIONS = 0.5
"""Standard deviations by which an intensity may leave the range of training."""

FAR = 2.0
"""Factor between an image's spacing and the network's, for a model that does not tell what it was trained on."""

PER_VOXEL = 4
"""Bytes of a resampled voxel."""


class Seen(Frozen):
    """The lowest and the highest that training showed; a model carries it.

    Attributes:
        spacing: Millimetres to the right, to the front and to the head.
        volumes_ml: Of each foreground class.
        intensities: Of each channel: a case's mean foreground, as the network sees it, in standard deviations.
        stated_headers: Spacings in headers of the data set in place of which others were stated, see
            :attr:`c2fnas.data.fingerprint.Fingerprint.stated_headers`.
    """

    spacing: tuple[Range, Range, Range]
    volumes_ml: tuple[Range, ...]
    intensities: tuple[Range, ...]
    stated_headers: tuple[Spacing, ...] = ()

    @classmethod
    def of(
        cls,
        known: Sequence[CaseFingerprint],
        cases: Sequence[PreparedCase],
        channels: Sequence[ChannelPlan],
        stated_headers: tuple[Spacing, ...] = (),
    ) -> Self | None:
        """Return the ranges of training cases, by their fingerprints and as they are prepared; None without a voxel."""
        rows = [
            [
                _standardised(mean, channel, own)
                for mean, channel, own in zip(means, channels, case.moments, strict=True)
            ]
            for case in cases
            if case.sample.shape[1]
            for means in [case.sample.mean(axis=1, dtype=np.float64)]
        ]
        volumes = [[count * prod(each.spacing) / 1000 for count in each.voxels[1:]] for each in known]
        if not rows or not volumes:
            return None
        i, j, k = _ranges([each.spacing for each in known])
        ranges: dict[str, Any] = {"volumes_ml": _ranges(volumes), "intensities": _ranges(rows)}
        return cls(spacing=(i, j, k), stated_headers=stated_headers, **ranges)


def grids_of(cases: Sequence[Case], spacing: Spacing | None = None) -> Iterator[Grid]:
    """Yield the grids of images, by their headers; those that can't be read are told of when it is their turn.

    A case's own stated spacing counts, else ``spacing``.
    """
    for case in cases:
        with suppress(CaseError):
            yield case.images[0].name, read_geometry(case.images[0], case.id), case.spacing or spacing


def foresee(grids: Iterable[Grid], plan: Plan, seen: Seen | None) -> None:
    """Tell of images that are far from what training showed or large once resampled, before anything is computed.

    Args:
        grids: Of the images.
        plan: Of the model.
        seen: What training showed; None where the model does not tell.

    Raises:
        UserError: a header looks as those did for which another spacing was stated in training.
    """
    known, headers = list(grids), seen.stated_headers if seen else ()
    unstated = [
        f"{name} ({crossed(grid.spacing)} mm)" for name, grid, mm in known if not mm and alike(grid.spacing) in headers
    ]
    if unstated:
        raise UserError(
            f"{some(unstated)}: the models were trained on images with such headers, for which another spacing was "
            "stated. State the true one of these too: --spacing I,J,K in mm."
        )
    if far := list(_foreseen(((name, grid.with_spacing(mm)) for name, grid, mm in known), plan, seen)):
        log.warning("%s. If a header is wrong, state the true spacing: --spacing I,J,K in mm.", some(far, 5, "\n"))


def _foreseen(grids: Iterable[tuple[str, Geometry]], plan: Plan, seen: Seen | None) -> Iterator[str]:
    """Remarks on images that are far or large."""
    for name, grid in grids:
        way = Restoration.to_axes(grid, plan.axes)
        shape = prepared_shape(way.shape, way.spacing, plan)
        needed = PER_VOXEL * len(plan.channels) * prod(shape)
        large, far = needed > free_memory(), spacing_remark(way, plan, seen)
        if far or large:
            size = f"{crossed(way.shape)} voxels become {crossed(shape)}, {needed / 2**20:,.0f} MiB"
            yield f"{name}: {far or 'much to resample'}; {size}{', more than is free' if large else ''}"


def spacing_remark(way: Restoration, plan: Plan, seen: Seen | None) -> str | None:
    """Return a remark where an image's spacing is far from all that training showed; else None.

    A model that does not tell is asked for the spacing that it resamples to.
    """
    if seen is not None:
        ranges, known = [seen.spacing[axis] for axis in plan.axes], "training had"
        outside = [not low / MARGIN <= mm <= high * MARGIN for mm, (low, high) in zip(way.spacing, ranges, strict=True)]
    elif plan.spacing is not None:
        ranges, known = [(mm, mm) for mm in plan.spacing], "the model's is"
        outside = [not own / FAR <= mm <= own * FAR for mm, own in zip(way.spacing, plan.spacing, strict=True)]
    else:
        return None
    if not any(outside):
        return None
    return f"spacing {crossed(way.spacing)} mm, {known} {'×'.join(map(_range_text, ranges))}"


def remarks(labels: np.ndarray, volume: Volume, way: Restoration, plan: Plan, seen: Seen | None) -> list[str]:
    """Return remarks on a case that was predicted: its spacing, its intensities and its volumes.

    Args:
        labels: Indices of the parts of the plan's scheme ``[i, j, k]``.
        volume: The image as it came, in the grid of its true spacing.
        way: Of its preparation.
        plan: Of the model.
        seen: What training showed; None where the model does not tell, so that only the spacing is judged.
    """
    found = [remark] if (remark := spacing_remark(way, plan, seen)) else []
    if seen is None:
        return found
    inside = way.view(labels) > 0
    for values, channel, (low, high) in zip(way.view(volume.array), plan.channels, seen.intensities, strict=True):
        if inside.any():
            own = _standardised(float(values[inside].mean(dtype=np.float64)), channel, moments(values))
            if not low - DEVIATIONS <= own <= high + DEVIATIONS:
                found.append(f"{channel.name} of the foreground {own:.2g} σ, training had {_range_text((low, high))}")
    each_ml = prod(volume.geometry.spacing) / 1000
    counts = plan.scheme.sums(np.bincount(labels.ravel(), minlength=len(plan.scheme.parts)).tolist())
    for name, count, (low, high) in zip(plan.scheme.names, counts[1:], seen.volumes_ml, strict=True):
        if not low / MARGIN <= count * each_ml <= high * MARGIN:
            found.append(f"{name} {count * each_ml:.3g} ml, training had {_range_text((low, high))}")
    return found


def _standardised(value: float, channel: ChannelPlan, own: tuple[float, float]) -> float:
    """An intensity in standard deviations: of the training's foreground for CT, of the volume itself for MR."""
    mean, std = own if channel.mean is None or channel.std is None else (channel.mean, channel.std)
    return (value - mean) / max(std, 1e-6)


def _ranges(rows: Sequence[Sequence[float]]) -> tuple[Range, ...]:
    return tuple((min(column), max(column)) for column in zip(*rows, strict=True))


def _range_text(between: Range) -> str:
    low, high = (f"{side:.3g}" for side in between)
    return low if low == high else f"{low}–{high}"
