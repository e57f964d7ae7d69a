"""The label scheme: what label files hold, what networks learn of it, and how their outputs become labels again."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from c2fnas.data.problem import Finding

if TYPE_CHECKING:
    from torch import Tensor

Labels = TypeVar("Labels", np.ndarray, "Tensor")
FIX = "Correct the labels in the manifest."
IGNORE = "ignore"
MOST_CLASSES = 256  # class indices are kept as uint8
LARGEST_VALUE = 2**16 - 1  # tables of values stay small


@dataclass(frozen=True)
class LabelClass:
    """A class and the values it has in label files.

    Several values are merged into the class; ``values[0]`` is the one written on export.
    """

    name: str
    values: tuple[int, ...]


@dataclass(frozen=True)
class LabelScheme:
    """Classes that exclude each other, or regions that overlap; both perhaps with a label that is ignored.

    Voxels are kept as indices of :attr:`parts`. Classes: a part each, and networks give one logit for each, the
    background's too, of which the largest wins. Regions, as nnU-Net v2 has them: every value is a part, networks give
    one logit per region, and where it is above 0 the region's value of ``order`` is written, later regions over
    earlier ones. Without ``classes`` the scheme is that of classes, however many.

    Attributes:
        classes: their names and values, the background first; regions may share values.
        order: of regions, the value that each is written as (nnU-Net's ``regions_class_order``); None: classes.
        ignore: the value of voxels that take no part in losses, statistics and metrics.

    >>> brain = LabelScheme.of("background", "whole", "core", values=((0,), (1, 2, 3), (2, 3)), order=(1, 2))
    >>> [part.values for part in brain.parts], brain.members.astype(int).tolist(), brain.outputs
    ([(0,), (1,), (2,), (3,)], [[1, 0, 0, 0], [0, 1, 1, 1], [0, 0, 1, 1]], 2)
    """

    classes: tuple[LabelClass, ...] = ()
    order: tuple[int, ...] | None = None
    ignore: int | None = None

    @classmethod
    def of(
        cls,
        *names: str,
        values: Sequence[tuple[int, ...]] | None = None,
        order: tuple[int, ...] | None = None,
        ignore: int | None = None,
    ) -> "LabelScheme":
        """Return the scheme of classes called ``names``, by default with the values 0, 1, 2, ..."""
        known = values or [(index,) for index in range(len(names))]
        return cls(tuple(map(LabelClass, names, known)), order, ignore)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what is scored: every class or region, the background left out."""
        return tuple(each.name for each in self.classes[1:])

    @property
    def outputs(self) -> int:
        """The number of a network's outputs: classes with the background, or regions."""
        return len(self.classes) - (self.order is not None)

    @cached_property
    def parts(self) -> tuple[LabelClass, ...]:
        """The parts that label files tell apart, by index: classes, or of regions each value; the ignored one last."""
        ignored = () if self.ignore is None else (LabelClass(IGNORE, (self.ignore,)),)
        if self.order is None:
            return (*self.classes, *ignored)
        values = sorted({value for each in self.classes[1:] for value in each.values})
        return (self.classes[0], *(LabelClass(f"label {value}", (value,)) for value in values), *ignored)

    @property
    def ignored(self) -> int | None:
        """The index of ignored voxels, or None."""
        return None if self.ignore is None else len(self.parts) - 1

    @property
    def outside(self) -> int:
        """The index of voxels beyond an image: ignored ones where there are such, else background."""
        return self.ignored or 0

    @cached_property
    def members(self) -> np.ndarray:
        """The parts of every class or region, bool ``[classes, parts]``; the ignored part is in none and left out."""
        known = self.parts[: self.ignored]
        return np.array([[part.values[0] in each.values for part in known] for each in self.classes])

    @cached_property
    def regions(self) -> tuple[tuple[int, ...], ...]:
        """The parts of each of :attr:`names`, as indices."""
        return tuple(tuple(np.flatnonzero(row).tolist()) for row in self.members[1:])

    @cached_property
    def written(self) -> tuple[LabelClass, ...]:
        """Every class or region with the values that predictions have for it."""
        if self.order is None:
            return self.classes
        return (self.classes[0], *(LabelClass(name, (v,)) for name, v in zip(self.names, self.order, strict=True)))

    def mask(self, labels: Labels, number: int) -> Labels:
        """Return where ``labels``, as indices, are in the class or region ``names[number]``."""
        return reduce(or_, (labels == part for part in self.regions[number]))

    def shown(self, labels: np.ndarray) -> np.ndarray:
        """Return indices of parts as those of classes: of regions the last around a voxel; 0 where ignored."""
        if self.order is None and self.ignore is None:
            return labels
        last = (self.members * np.arange(len(self.classes))[:, None]).max(0)
        table: np.ndarray = np.append(last, 0).astype(np.uint8)
        return table[labels]

    def segments(self, labels: np.ndarray) -> np.ndarray:
        """Return indices of classes as they are; of regions, which may overlap, bool masks ``[i, j, k, regions]``."""
        if self.order is None:
            return labels
        return np.stack([self.mask(labels, number) for number in range(len(self.names))], axis=-1)

    def sums(self, counts: Sequence[int]) -> tuple[int, ...]:
        """Return voxels of every class or region, background first, by voxels of every part."""
        return tuple((self.members @ np.asarray(counts)[: self.members.shape[1]]).tolist())

    def probabilities(self, logits: "Tensor", dim: int = 0) -> "Tensor":
        """Return class probabilities that add up to one, or the probability of each region."""
        return logits.softmax(dim) if self.order is None else logits.sigmoid()

    def decode(self, logits: "Iterable[Tensor | None]") -> np.ndarray:
        """Return the part of every voxel, uint8, by logits; asks for one output at a time, see :func:`best_class`."""
        labels: np.ndarray = self.decoded(logits).cpu().numpy()
        return labels

    def decoded(self, logits: "Iterable[Tensor | None]") -> "Tensor":
        """Return the same on the device of the logits."""
        if self.order is None:
            return best_class_there(logits)
        import torch

        place = self.places
        labels: Tensor | None = None
        for value, scores in zip(self.order, logits, strict=True):
            if scores is None:
                continue
            if labels is None:
                labels = torch.zeros(scores.shape, dtype=torch.uint8, device=scores.device)
            labels.masked_fill_(scores > 0, place[value])
        assert labels is not None
        return labels

    @property
    def places(self) -> dict[int, int]:
        """The part that each value of label files belongs to."""
        return {value: index for index, part in enumerate(self.parts) for value in part.values}

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong with the order of regions and with the ignored value."""
        if self.ignore is not None:
            yield from self._of_ignore(self.ignore)
        if self.order is not None:
            yield from self._of_order(self.order)

    def _of_ignore(self, ignore: int) -> Iterator[Finding]:
        inside = [each.name for each in self.classes if ignore in each.values]
        highest = max(value for each in self.classes for value in each.values)
        if inside or ignore < highest:
            where = f"in {', '.join(map(repr, inside))}" if inside else f"below {highest}"
            fix = f"Give ignored voxels a value above {highest}, in the files and in the manifest."
            yield Finding(f"the ignore label {ignore} {where}", "a value of its own, the highest, as in nnU-Net", fix)

    def _of_order(self, order: tuple[int, ...]) -> Iterator[Finding]:
        regions = self.classes[1:]
        fix = f'Write "regions_class_order": {list(suggested_order(regions))}, larger regions first.'
        found = f"regions_class_order {list(order)}"
        if len(order) != len(regions) or len(set(order)) < len(order):
            yield Finding(found, f"a value of its own for each of {', '.join(self.names)}", fix)
            return
        strange = [(each, value) for each, value in zip(regions, order, strict=True) if value not in each.values]
        if strange:
            named = "; ".join(f"{value} is not in {each.name!r} {list(each.values)}" for each, value in strange)
            yield Finding(f"{found}: {named}", "one of each region's own values, in the regions' order", fix)
        elif lost := [
            value for value in self._values() if self._regions_of(value) != self._regions_of(self._as(value))
        ]:
            example = f"label {lost[0]} is written as {self._as(lost[0])}, which is in other regions"
            yield Finding(f"{found}: {example}", "an order that keeps every label in its regions", fix, "warning")

    def _values(self) -> tuple[int, ...]:
        return tuple(value for part in self.parts[1 : self.ignored] for value in part.values)

    def _regions_of(self, value: int) -> tuple[str, ...]:
        return tuple(each.name for each in self.classes[1:] if value in each.values)

    def _as(self, value: int) -> int:
        """The value that is written where all regions of ``value`` are found."""
        assert self.order is not None
        return [own for each, own in zip(self.classes[1:], self.order, strict=True) if value in each.values][-1]


def suggested_order(regions: Sequence[LabelClass]) -> tuple[int, ...]:
    """Return a value for each region: where it can be, one that no later region has.

    >>> suggested_order([LabelClass("whole", (1, 2, 3)), LabelClass("core", (2, 3)), LabelClass("enhancing", (3,))])
    (1, 2, 3)
    """
    later = [{value for each in regions[number + 1 :] for value in each.values} for number in range(len(regions))]
    return tuple(
        next((value for value in each.values if value not in others), each.values[0])
        for each, others in zip(regions, later, strict=True)
    )


def best_class(scores: "Iterable[Tensor | None]") -> np.ndarray:
    """Return the index of the class with the largest score, uint8, ties to the lower; asks for one class at a time.

    None is a class that is nowhere the largest. Several times faster than ``argmax`` along the first axis, which walks
    memory the wrong way.
    """
    labels: np.ndarray = best_class_there(scores).cpu().numpy()
    return labels


def best_class_there(scores: "Iterable[Tensor | None]") -> "Tensor":
    """Return the same on the device of the scores."""
    import torch

    best: Tensor | None = None
    labels: Tensor | None = None
    for index, values in enumerate(scores):
        if values is None:
            continue
        if best is None or labels is None:
            best, labels = values, torch.full(values.shape, index, dtype=torch.uint8, device=values.device)
        else:
            labels.masked_fill_(values > best, index)
            best = torch.maximum(best, values)
    assert labels is not None
    return labels
