"""A data set as frozen values: cases, channels and classes, whatever layout its files have."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from c2fnas.data.scheme import LabelClass, LabelScheme
from c2fnas.shapes import Spacing


@dataclass(frozen=True)
class Case:
    """One case: an image, of one file or of a file per channel, and its label where there is one.

    ``group`` (a patient, say) stays within one fold; ``fold`` is the fold whose validation set holds the case.
    ``spacing`` is stated in place of the headers', along the first image's own axes.
    """

    id: str
    images: tuple[Path, ...]
    label: Path | None
    group: str | None = None
    fold: int | None = None
    spacing: Spacing | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The image's files, then the label's where there is one."""
        return (*self.images, *((self.label,) if self.label else ()))


@dataclass(frozen=True)
class Dataset:
    """A data set in the order of its manifest.

    ``classes[0]`` is the background. The others exclude each other; with ``regions_class_order`` they are regions,
    which may overlap. ``ignore`` is the value of voxels that take no part, see :attr:`scheme`.
    """

    name: str
    root: Path
    channels: tuple[str, ...]
    classes: tuple[LabelClass, ...]
    training: tuple[Case, ...]
    test: tuple[Case, ...]
    regions_class_order: tuple[int, ...] | None = None
    ignore: int | None = None

    @property
    def scheme(self) -> LabelScheme:
        """The labels of files, of networks and of predictions."""
        return LabelScheme(self.classes, self.regions_class_order, self.ignore)

    def with_spacing(self, spacing: Spacing | None) -> Self:
        """Return the data set with the spacing of all cases stated, but for those that state their own."""

        def stated(cases: tuple[Case, ...]) -> tuple[Case, ...]:
            return tuple(replace(case, spacing=case.spacing or spacing) for case in cases)

        return replace(self, training=stated(self.training), test=stated(self.test))


def evenly_spread(ids: tuple[str, ...], count: int | None) -> tuple[str, ...]:
    """Return ``count`` of ``ids`` at even distances, in order; all of them where ``count`` is None or larger.

    >>> evenly_spread(("a", "b", "c", "d", "e"), 2)
    ('a', 'c')
    """
    if count is None or count >= len(ids):
        return ids
    return tuple(ids[index * len(ids) // count] for index in range(count))
