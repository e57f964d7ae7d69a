"""Points that are known beforehand, each trained once through the ledger: resumed, extended, failures kept."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from c2fnas.errors import UserError
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import read_json_lines
from c2fnas.runs.driver import drive
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting
from c2fnas.runs.trial import Trial
from c2fnas.space.architecture import Architecture
from c2fnas.training.metrics_log import METRICS

Point = TypeVar("Point", bound=Hashable)


class LedgerGrid(ABC, Generic[Point]):
    """Architectures by point, such as a width; a trial of the stage's study for each.

    What has succeeded or failed is not trained again; what a dead driver has left is taken up under its number.
    """

    stage: str

    def __init__(self, setting: Setting, points: Mapping[Point, Architecture]) -> None:
        self.setting, self.points = setting, points
        self.ledger = Ledger(setting.folder.study, self.stage)
        self._left_over = [trial.number for trial in self.ledger.interrupted() if self.point(trial) in points]
        self._running: dict[str, Trial] = {}

    @abstractmethod
    def point(self, trial: Trial) -> Point:
        """Where a trial of the ledger belongs."""

    @abstractmethod
    def facts(self, point: Point) -> dict[str, Any]:
        """What the ledger keeps with a point; :meth:`point` reads it back."""

    @abstractmethod
    def job(self, trial: Trial) -> Job:
        """The training; its value has ``dice`` and ``per_class``."""

    @abstractmethod
    def name(self, trial: Trial) -> str:
        """The trial in words, such as "Width 0.5, patch 96×96×96,"."""

    def refuse_another_length(self) -> None:
        """See that all trials, of these points and others, were trained for as long as the run now trains.

        Raises:
            UserError: the run was extended since, so that rows of one table would not be alike.
        """
        now = self.setting.config.deployment.recipe.iterations
        for trial in self.ledger.trials():
            then = self._iterations(trial)
            if then not in (None, now):
                raise UserError(
                    f"{self.setting.folder.root / self.stage}: networks were trained for {then} iterations here, and "
                    f"since it was extended the run has {now}. Compare them in a run folder begun anew."
                )

    def run(self, executor: Executor, reporter: Reporter) -> dict[Point, Trial]:
        """Train what is missing; returns every point's trial, those that have failed among them."""
        waiting = self._waiting()
        reporter.start(self.stage, len(self.points))
        drive(
            executor,
            lambda: self._propose(waiting),
            lambda outcome: self._settle(outcome, reporter),
            folder=self.setting.folder,
            reporter=reporter,
            stage=self.stage,
            finished=lambda: float(sum(trial.finished for trial in self._trials().values())),
            so_far=self._so_far,
        )
        reporter.finish(self.stage)
        return self._trials()

    def _iterations(self, trial: Trial) -> int | None:
        """How long a trial is trained; of ledgers that don't say so, what its own metrics tell, if they do."""
        if "iterations" in trial.extra:
            return int(trial.extra["iterations"])
        lines = [line for line in read_json_lines(self.job(trial).folder / METRICS) if isinstance(line, dict)]
        return max((line["iterations"] for line in lines if "iterations" in line), default=None)

    def _trials(self) -> dict[Point, Trial]:
        """The ledger's trials of these points."""
        return {self.point(trial): trial for trial in self.ledger.trials() if self.point(trial) in self.points}

    def _so_far(self) -> str:
        scores = [trial.score for trial in self._trials().values() if trial.score is not None]
        return f"best Dice {max(scores):.4f} of {len(scores)}" if scores else ""

    def _waiting(self) -> Iterator[Trial]:
        """What is to be trained: first what a dead driver has left, then what the ledger does not know yet."""
        known = set(self._trials())
        yield from (self.ledger.restart(number) for number in self._left_over)
        for point, architecture in self.points.items():
            if point not in known:
                yield self.ledger.trial(self.ledger.start(architecture, self.facts(point)))

    def _propose(self, waiting: Iterator[Trial]) -> Job | None:
        trial = next(waiting, None)
        if trial is None:
            return None
        job = self.job(trial)
        self._running[job.id] = trial
        return job

    def _settle(self, outcome: Outcome, reporter: Reporter) -> None:
        trial = self._running.pop(outcome.job_id)
        extra = {"device": outcome.device, "seconds": outcome.seconds}
        if outcome.value is None:
            ended = self.ledger.fail(trial.number, outcome.failure or outcome.kind, extra)
        else:
            extra["per_class"] = outcome.value["per_class"]
            ended = self.ledger.succeed(trial.number, outcome.value["dice"], extra)
        if ended.score is None:
            reporter.say(f"{self.name(trial)} failed and is left out: {ended.reason}")
