"""The interface of layouts, and the data set that they read."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from c2fnas.data.dataset import Dataset
from c2fnas.data.problem import Problem, lines
from c2fnas.errors import UserError
from c2fnas.shapes import Spacing

SHOWN_PROBLEMS = 3


@dataclass(frozen=True)
class Reading:
    """A data set as far as its manifest can be read, and the problems of the manifest. No voxel is read yet."""

    dataset: Dataset
    problems: tuple[Problem, ...]
    files: tuple[Path, ...]
    """The manifest's own files; the first one decides which layout reads it."""

    def with_spacing(self, spacing: Spacing | None) -> "Reading":
        """The same with the true spacing of the cases, see :meth:`c2fnas.data.dataset.Dataset.with_spacing`."""
        return replace(self, dataset=self.dataset.with_spacing(spacing))

    def sound(self, path: Path) -> Dataset:
        """The data set, read from ``path``, if its manifest has no errors.

        Raises:
            DatasetError: it has.
        """
        errors = [problem for problem in self.problems if problem.severity == "error"]
        if errors:
            raise DatasetError(path, errors)
        return self.dataset


class DatasetError(UserError):
    """A manifest with errors, all of them in ``problems``."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        told = [line.removeprefix("error: ") for line in lines(problems)]
        shown, more = " ".join(told[:SHOWN_PROBLEMS]), len(told) - SHOWN_PROBLEMS
        super().__init__(f"{shown} And {more} more: `c2fnas check {path}` lists them." if more > 0 else shown)


class Layout(ABC):
    """A way in which data sets lie on disk."""

    name: str
    sign: str
    """Features by which the layout recognises a data set, in words."""

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Return True if ``path``, a folder or a file, is a data set of this layout."""

    @abstractmethod
    def read(self, path: Path) -> Reading:
        """Read the manifest; what is wrong with single entries is listed, and those entries are left out.

        Raises:
            UserError: the manifest can't be read at all.
        """

    def load(self, path: Path) -> Dataset:
        """Read a data set whose manifest has no errors.

        Raises:
            UserError: it has, or can't be read.
        """
        return self.read(path).sound(path)
