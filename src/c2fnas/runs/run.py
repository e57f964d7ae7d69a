"""What every stage of a run works with: the run's folder, configuration, plan, folds and prepared cases."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from c2fnas.data.cache import Cache, PreparedCase
from c2fnas.data.folds import Split
from c2fnas.data.plan import Plan, load_plan
from c2fnas.errors import UserError
from c2fnas.files import read_json
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.inference.windows import Weighting
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder


@dataclass(frozen=True)
class Setting:
    """A prepared run. Jobs load it from the run folder, so only its path has to travel to a worker."""

    folder: RunFolder
    config: RunConfig
    plan: Plan
    folds: tuple[Split, ...]

    @classmethod
    def load(cls, run: Path) -> Self:
        """Read a prepared run.

        Raises:
            UserError: the folder is no run, or was not prepared to the end.
        """
        folder = RunFolder(run)
        if not folder.config.exists():
            raise UserError(
                f"{run}: not a prepared run. `c2fnas prepare DATASET --run {run}` makes one, `c2fnas run` goes through "
                "all stages."
            )
        return cls(folder, RunConfig.load(folder.config), load_plan(folder.plan), load_folds(folder.folds))

    @property
    def search_split(self) -> Split:
        """The split of coarse and fine search: the first folds train, the last one validates (paper 4.1)."""
        return self.folds[-1]

    @cached_property
    def groups(self) -> dict[str, str]:
        """The group of every validation case that shares it with another one, by the case's id."""
        return load_groups(self.folder.folds)

    @property
    def classes(self) -> int:
        """Classes, the background included."""
        return len(self.plan.classes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes' names, the background first."""
        return tuple(each.name for each in self.plan.classes)

    @property
    def in_channels(self) -> int:
        """Image channels."""
        return len(self.plan.channels)

    @cached_property
    def cache(self) -> Cache:
        """The prepared cases."""
        return Cache.open(self.folder.cache, self.plan)

    def fold_plan(self, fold: int = -1) -> Plan:
        """Return the plan with the CT statistics of a fold's training cases; -1 is the split of the search."""
        channels = self.cache.fold_channels(self.plan.channels, self.folds[fold].training)
        return self.plan.model_copy(update={"channels": channels})

    def cases(self, ids: Iterable[str], fold: int = -1) -> tuple[PreparedCase, ...]:
        """Return the prepared cases called ``ids``, normalised as the networks of a fold see them."""
        channels = self.fold_plan(fold).channels
        return tuple(replace(self.cache[case], channels=channels) for case in ids)

    def window(self, *, ranking: bool = False) -> SlidingWindow:
        """The sliding window of validation, or the coarser one that ranks candidates (paper 4.1, stride 16 and 48)."""
        stride = self.plan.ranking_stride if ranking else self.plan.stride
        recipe = self.config.fine.recipe if ranking else self.config.deployment.recipe
        return SlidingWindow(
            patch_size=self.plan.patch_size, stride=stride, weighting=self.weighting, precision=recipe.precision
        )

    @property
    def coarse_window(self) -> SlidingWindow:
        """The sliding window that validates coarse candidates: the plan's, or a coarser one where that is too dear."""
        window = self.window()
        return replace(window, stride=self.config.coarse.stride) if self.config.coarse.stride else window

    @property
    def weighting(self) -> Weighting:
        """How windows are blended: with constant weights in the paper, Gaussian otherwise."""
        return "constant" if self.config.deployment.recipe.name == "paper" else "gaussian"


def load_folds(path: Path) -> tuple[Split, ...]:
    """Read the folds of a run."""
    return tuple(Split(tuple(fold["training"]), tuple(fold["validation"])) for fold in read_json(path))


def load_groups(path: Path) -> dict[str, str]:
    """Read the groups of a run's validation cases; none where cases stand alone, or earlier versions kept none."""
    return {case: group for fold in read_json(path) for case, group in fold.get("groups", {}).items()}


def evenly_spread(ids: tuple[str, ...], count: int | None) -> tuple[str, ...]:
    """``count`` of ``ids`` at even distances, in order; all of them where ``count`` is None or larger.

    >>> evenly_spread(("a", "b", "c", "d", "e"), 2)
    ('a', 'c')
    """
    if count is None or count >= len(ids):
        return ids
    return tuple(ids[index * len(ids) // count] for index in range(count))
