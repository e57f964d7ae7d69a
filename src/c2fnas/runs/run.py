"""The one run: its folder, configuration, prepared cases, lock, stop file, ledger, reporter and executor."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch

from c2fnas.data.cache import Cache, PreparedCase
from c2fnas.data.fingerprint import Fingerprint
from c2fnas.data.folds import EVERY_CASE, Fold, Split, chosen_folds
from c2fnas.data.plan import Plan, load_plan
from c2fnas.data.scheme import LabelScheme
from c2fnas.errors import Interrupted
from c2fnas.execution.executor import Executor
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.inference.windows import Weighting
from c2fnas.networks.count import count_network
from c2fnas.networks.designs import Design, build_design
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.lock import RunLock
from c2fnas.runs.records.kept_folds import KeptFolds
from c2fnas.runs.reporter import Reporter, listening
from c2fnas.runs.timing.clock import ActiveTime
from c2fnas.runs.timing.slots import Slots, keep_slots, read_slots
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import Cost, network_cost

ExecutorFactory = Callable[[tuple[str, ...]], Executor]


class Run:
    """A run folder and what works on it. Jobs open it from its folder, so only a path has to travel to a worker.

    Args:
        root: the run folder; it need not be prepared yet.
        reporter: hears of the progress.
        executor: runs the jobs; :meth:`working` makes one where none is given.
        config: instead of the folder's.
        plan: instead of the folder's.
        time: counts what a budget counts; by default by this machine's clock.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        reporter: Reporter | None = None,
        executor: Executor | None = None,
        config: RunConfig | None = None,
        plan: Plan | None = None,
        time: ActiveTime | None = None,
    ) -> None:
        self.folder = RunFolder(Path(root))
        self.reporter = listening(reporter)
        self.time = time or ActiveTime(self.folder.spent)
        self._executor = executor
        self._config, self._plan = config, plan
        self._kept_slots: Slots | None = None

    @classmethod
    def open(cls, root: Path | str, reporter: Reporter | None = None) -> Self:
        """Open a prepared run.

        Raises:
            UserError: the folder is no run, was not prepared to the end, or is of another version.
        """
        run = cls(root, reporter=reporter)
        run.config  # noqa: B018 (read once, so that a fault is told here)
        return run

    def using(self, executor: Executor | None = None, reporter: Reporter | None = None) -> Self:
        """Return the same run with another executor or reporter."""
        return self._copy(executor=executor or self._executor, reporter=reporter or self.reporter)

    def varied(self, *, seed: int | None = None, plan: Plan | None = None) -> Self:
        """Return the run with another seed or plan, for a training that differs in these alone."""
        config = self.config if seed is None else self.config.model_copy(update={"seed": seed})
        return self._copy(config=config, plan=plan or self._plan)

    def _copy(self, **changes: Any) -> Self:
        own = {"executor": self._executor, "reporter": self.reporter, "config": self._config, "plan": self._plan}
        return type(self)(self.folder.root, time=self.time, **own | changes)

    @contextmanager
    def working(self, executor: ExecutorFactory, devices: tuple[str, ...] | None = None) -> Iterator[Self]:
        """Make this process the run's one driver: hold its lock, forget an old stop file, open an executor.

        Raises:
            UserError: another process drives the run.
        """
        with self.locked(), executor(devices or self.config.devices) as workers:
            yield self.using(workers)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the run, count the time, and forget an old stop file."""
        with RunLock(self.folder.root), self.time.running():
            self.folder.clear_stop()
            yield

    @property
    def executor(self) -> Executor:
        """The executor of :meth:`working`."""
        if self._executor is None:
            raise RuntimeError("this run has no executor: open it with `working`")
        return self._executor

    @property
    def slots(self) -> Slots:
        """The room for jobs that the executor has now; where there is none, that which the last one had."""
        return read_slots(self.folder, self.config) if self._executor is None else Slots.of(self._executor)

    def keep_slots(self) -> None:
        """Write down the room for jobs where it has changed, for whoever looks at the run folder."""
        slots = self.slots
        if slots != self._kept_slots and self.folder.config.exists() and keep_slots(self.folder, self.config, slots):
            self._kept_slots = slots

    @property
    def elsewhere(self) -> bool:
        """True if the executor's jobs may run on other machines than this one."""
        return self._executor is not None and self._executor.elsewhere

    @property
    def seconds_left(self) -> float:
        """Seconds that are left of the run's time budget; infinitely many where it has none."""
        budget = self.config.seconds
        return float("inf") if budget is None else budget - self.time.seconds

    def refuse_stop(self) -> None:
        """Raise Interrupted where somebody has left a file ``stop`` in the run folder."""
        if self.folder.stop_requested:
            raise self.interruption

    @property
    def interruption(self) -> Interrupted:
        """The error of a run that was asked to stop."""
        return Interrupted(f"{self.folder.stop} asked for it. Run the same command again to carry on.")

    @property
    def config(self) -> RunConfig:
        """The configuration.

        Raises:
            UserError: the folder is no run, was not prepared to the end, or is of another version.
        """
        if self._config is None:
            self.folder.refuse_unprepared()
            self._config = RunConfig.load(self.folder.config)
        return self._config

    def configure(self, config: RunConfig) -> None:
        """Write another configuration; what depends on it is read again."""
        config.save(self.folder.config)
        self._config = config
        for name in ("plan", "kept_folds", "cache"):
            self.__dict__.pop(name, None)

    @property
    def width(self) -> float:
        """The width multiplier of every network of the run: one size for search and deployment."""
        width = self.config.width
        assert width != "auto", "a prepared run has a width"
        return width

    @property
    def final_folds(self) -> tuple[Fold, ...]:
        """The folds that the found architecture is trained on."""
        return chosen_folds(self.config.deployment.folds, len(self.folds))

    @cached_property
    def plan(self) -> Plan:
        """The plan: how cases are prepared and cut into patches."""
        return self._plan or load_plan(self.folder.plan)

    @cached_property
    def kept_folds(self) -> KeptFolds:
        """The folds with the groups that cases share."""
        return KeptFolds.load(self.folder.folds)

    @property
    def folds(self) -> tuple[Split, ...]:
        """The folds, in order."""
        return self.kept_folds.splits

    @property
    def groups(self) -> Mapping[str, str]:
        """The group of every validation case that shares it with another one, by the case's id."""
        return self.kept_folds.groups

    @cached_property
    def cache(self) -> Cache:
        """The prepared cases."""
        return Cache.open(self.folder.cache, self.plan)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """The data set's fingerprint.

        Raises:
            UserError: it can't be read, or is of another version.
        """
        return Fingerprint.load(self.folder.fingerprint)

    @property
    def search_split(self) -> Split:
        """The split of coarse and fine search: the first folds train, the last one validates (paper 4.1)."""
        return self.folds[-1]

    def split(self, fold: Fold) -> Split:
        """Return the cases that train and validate a fold; -1 is the split of the search."""
        return Split(self.cache.ids, ()) if fold == EVERY_CASE else self.folds[fold]

    def fold_plan(self, fold: Fold = -1) -> Plan:
        """Return the plan with the CT statistics of a fold's training cases; -1 is the split of the search."""
        channels = self.cache.fold_channels(self.plan.channels, self.split(fold).training)
        return self.plan.model_copy(update={"channels": channels})

    def cases(self, ids: Iterable[str], fold: Fold = -1) -> tuple[PreparedCase, ...]:
        """Return the prepared cases called ``ids``, normalised as the networks of a fold see them."""
        channels = self.fold_plan(fold).channels
        return tuple(replace(self.cache[case], channels=channels) for case in ids)

    @property
    def classes(self) -> int:
        """Number of a network's outputs: classes with the background, or regions."""
        return self.plan.outputs

    @property
    def scheme(self) -> LabelScheme:
        """The labels of files, of networks and of predictions."""
        return self.plan.scheme

    @property
    def in_channels(self) -> int:
        """Number of image channels."""
        return len(self.plan.channels)

    def window(self, *, ranking: bool = False) -> SlidingWindow:
        """Return the sliding window of validation, or the coarser one that ranks candidates (paper 4.1: 16, 48)."""
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
        """The weights that blend windows: constant in the paper, Gaussian otherwise."""
        return "constant" if self.config.deployment.recipe.name == "paper" else "gaussian"

    def build(self, design: Design) -> torch.nn.Module:
        """Build the network of ``design`` with the run's first weights."""
        torch.manual_seed(self.config.seed)
        return build_design(design, in_channels=self.in_channels, classes=self.classes)

    def cost(self, design: Design) -> Cost:
        """Count parameters, and multiply-accumulates of one patch; nothing is computed."""
        if isinstance(design, Architecture):
            whole = network_cost(
                design, in_channels=self.in_channels, classes=self.classes, input_size=self.plan.patch_size
            )
            return Cost(whole.parameters, whole.macs)
        with torch.device("meta"):
            network = build_design(design, in_channels=self.in_channels, classes=self.classes)
        return Cost(*count_network(network, in_channels=self.in_channels, input_size=self.plan.patch_size))

    def ledger(self, stage: str) -> Ledger:
        """Open the ledger of a stage for writing."""
        return Ledger(self.folder.study, stage)
