"""A data set as frozen values: cases, channels and classes, whatever layout its files have."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from c2fnas.data.scheme import LabelClass, LabelScheme
from c2fnas.errors import UserError
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


def group_cases(cases: Iterable[Case], pattern: str) -> tuple[Case, ...]:
    """Return the cases, grouped by the first parenthesis of a regular expression at the start of their ids.

    Raises:
        UserError: the expression is invalid, has no parenthesis, or an id doesn't match.

    >>> [case.group for case in group_cases([Case("A_17_ED", (), None)], "(.+)_E[DS]")]
    ['A_17']
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--group-by {pattern}: not a regular expression ({error}). Example: '(.+)_E[DS]'.") from error
    if expression.groups < 1:
        raise UserError(f"--group-by {pattern}: put the part that names the group in parentheses, as in '(.+)_E[DS]'.")
    matches = [(case, expression.match(case.id)) for case in cases]
    for case, match in matches:
        if match is None or match.group(1) is None:
            raise UserError(f"--group-by {pattern}: the case {case.id} doesn't match. Every case id has to.")
    return tuple(replace(case, group=match.group(1)) for case, match in matches if match is not None)


def units(cases: Sequence[Case]) -> tuple[frozenset[str], ...]:
    """Return the cases that stay together, in the order of first appearance: a group's cases, or a case alone."""
    found: dict[tuple[bool, str], set[str]] = {}
    for case in cases:
        found.setdefault((case.group is not None, case.group or case.id), set()).add(case.id)
    return tuple(frozenset(unit) for unit in found.values())


def shared_groups(cases: Sequence[Case]) -> dict[str, str]:
    """Return the group of every case that shares it with another one, by the case's id.

    Groups are numbered: their names may be those of patients.

    >>> shared_groups([Case("a", (), None, "p"), Case("b", (), None, "p"), Case("c", (), None, "q")])
    {'a': 'group 1', 'b': 'group 1'}
    """
    sizes = Counter(case.group for case in cases if case.group is not None)
    numbers = {group: number for number, group in enumerate((each for each in sizes if sizes[each] > 1), 1)}
    return {case.id: f"group {numbers[case.group]}" for case in cases if case.group in numbers}


def evenly_spread(ids: tuple[str, ...], count: int | None) -> tuple[str, ...]:
    """Return ``count`` of ``ids`` at even distances, in order; all of them where ``count`` is None or larger.

    >>> evenly_spread(("a", "b", "c", "d", "e"), 2)
    ('a', 'c')
    """
    if count is None or count >= len(ids):
        return ids
    return tuple(ids[index * len(ids) // count] for index in range(count))
