"""Third stage (paper 5.3): the found architecture at every width of a grid, trained under the same settings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from c2fnas.errors import UserError
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import write_json
from c2fnas.inference.metrics import ByClass
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.trial import Trial
from c2fnas.search.scaling_grid import WIDTHS, scaling_grid
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.stages.drive import drive
from c2fnas.stages.progress import Reporter
from c2fnas.stages.scale_job import with_patch
from c2fnas.stages.setting import Setting

STAGE = "scale"
TABLE = "table.json"
SAME_PATCH = (1.0,)

Point = tuple[float, float]
"""A width and a factor of the plan's patch."""


@dataclass(frozen=True)
class Scaled:
    """A row of Table 4: a width, what it costs and what it reaches on the validation fold of the search.

    ``dice`` and ``per_class`` are None where its training has failed, for ``reason``. ``macs`` are of one patch.
    """

    width: float
    patch: tuple[int, int, int]
    parameters: int
    macs: int
    dice: float | None
    per_class: ByClass | None
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "width": self.width, "patch": list(self.patch), "parameters": self.parameters, "macs": self.macs,
            "dice": self.dice, "per_class": self.per_class, "reason": self.reason,
        }  # fmt: skip


def search_width(
    setting: Setting, executor: Executor, reporter: Reporter, *, widths: Sequence[float] = WIDTHS,
    patches: Sequence[float] = SAME_PATCH, architecture: Architecture | None = None,
) -> tuple[Scaled, ...]:  # fmt: skip
    """Train ``architecture`` at every width, with every factor of the patch, and leave ``scale/table.json``.

    Resumes from the ledger, widths that failed are not tried again, and further ones join those that are there.

    Args:
        setting: of the run; its deployment recipe, first weights and split of the search serve every width.
        executor: where they are trained, as many at a time as it has devices.
        reporter: hears of the progress.
        widths: multipliers of the paper's filter counts, not of the run's width.
        patches: with more than 1.0, compound scaling: every width with every one.
        architecture: what the run's fine stage has found where None.

    Returns:
        A row for each of the grid, by patch factor, then by width.

    Raises:
        UserError: a width that is none, nothing found yet, or this run has scaled another architecture.
    """
    architecture = architecture or _found(setting)
    search = _ScalingSearch(setting, reporter, architecture, grid(architecture, widths, patches))
    return search.run(executor)


def grid(architecture: Architecture, widths: Sequence[float], patches: Sequence[float]) -> dict[Point, Architecture]:
    """What there is to train.

    Raises:
        UserError: no width, one that gives no whole number of filters or is given twice, or a patch of no size.
    """
    try:
        scaled = scaling_grid(architecture, widths)
    except ValueError as error:
        raise UserError(f"--widths: {error}.") from error
    if not scaled or not patches or any(not 0 < factor < 8 for factor in patches):
        raise UserError("search scale: give at least one width, and patch factors above 0 and below 8.")
    if len(set(patches)) != len(patches):
        raise UserError(f"--patches: a factor is given twice among {', '.join(f'{each:g}' for each in patches)}.")
    return {(each.width, factor): each for factor, each in product(patches, scaled)}


class _ScalingSearch:
    """The third stage of one run: the grid, the ledger and the widths under way."""

    def __init__(
        self, setting: Setting, reporter: Reporter, architecture: Architecture, points: dict[Point, Architecture]
    ) -> None:
        self._setting, self._reporter, self._points = setting, reporter, points
        self._ledger = Ledger(setting.folder.study, STAGE)
        _refuse_another(setting, self._ledger, architecture)
        self._left_over = [trial.number for trial in self._ledger.interrupted() if _point(trial) in points]
        self._running: dict[str, Trial] = {}

    def run(self, executor: Executor) -> tuple[Scaled, ...]:
        waiting = self._waiting()
        self._reporter.start(STAGE, len(self._points))
        drive(
            executor, lambda: self._propose(waiting), self._settle,
            folder=self._setting.folder, reporter=self._reporter, stage=STAGE,
            finished=lambda: float(sum(trial.finished for trial in self._trials().values())),
        )  # fmt: skip
        trials = self._trials()
        rows = tuple(_row(self._setting, trials[point], point) for point in self._points)
        write_json(self._setting.folder.scale / TABLE, [row.to_json() for row in rows])
        self._reporter.finish(STAGE)
        return rows

    def _trials(self) -> dict[Point, Trial]:
        """The ledger's trials of this grid."""
        return {_point(trial): trial for trial in self._ledger.trials() if _point(trial) in self._points}

    def _waiting(self) -> Iterator[Trial]:
        """What is to be trained: first what a dead driver has left, then what the ledger does not know yet."""
        known = set(self._trials())
        yield from (self._ledger.restart(number) for number in self._left_over)
        for point, architecture in self._points.items():
            if point not in known:
                number = self._ledger.start(architecture, _facts(self._setting, architecture, point[1]))
                yield self._ledger.trial(number)

    def _propose(self, waiting: Iterator[Trial]) -> Job | None:
        trial = next(waiting, None)
        if trial is None:
            return None
        job = scaled_job(self._setting, trial)
        self._running[job.id] = trial
        return job

    def _settle(self, outcome: Outcome) -> None:
        trial = self._running.pop(outcome.job_id)
        extra = {"device": outcome.device, "seconds": outcome.seconds}
        if outcome.value is None:
            ended = self._ledger.fail(trial.number, outcome.failure or outcome.kind, extra)
        else:
            extra["per_class"] = outcome.value["per_class"]
            ended = self._ledger.succeed(trial.number, outcome.value["dice"], extra)
        if ended.score is None:
            self._reporter.say(f"Width {trial.architecture.width:g} failed and is left out: {ended.reason}")


def scaled_job(setting: Setting, trial: Trial) -> Job:
    """The job that trains and scores one width."""
    return Job(
        id=f"width {trial.number}",
        target="c2fnas.stages.scale_job:train_scaled",
        payload={
            "run": "../..", "architecture": trial.architecture.to_json(), "patch_factor": trial.extra["patch_factor"],
        },
        folder=setting.folder.scale_trial(trial.number),
    )  # fmt: skip


def _found(setting: Setting) -> Architecture:
    path = setting.folder.fine / "architecture.json"
    if not path.exists():
        raise UserError(
            f"{setting.folder.root}: the fine stage has not finished. `c2fnas search fine` comes first, or name an "
            "--architecture."
        )
    return Architecture.load(path)


def _refuse_another(setting: Setting, ledger: Ledger, architecture: Architecture) -> None:
    """All rows of a table are of one architecture."""
    for trial in ledger.trials():
        known = trial.architecture
        if (known.topology, known.operations) != (architecture.topology, architecture.operations):
            raise UserError(
                f"{setting.folder.scale}: this run has scaled another architecture, {known.to_text()}. Give it as "
                "--architecture, or choose another --run folder."
            )


def _point(trial: Trial) -> Point:
    return trial.architecture.width, trial.extra["patch_factor"]


def _facts(setting: Setting, architecture: Architecture, factor: float) -> dict[str, Any]:
    """What the ledger keeps with a width: its patch and its cost."""
    patch = with_patch(setting, factor).plan.patch_size
    cost = network_cost(
        architecture, in_channels=setting.in_channels, classes=setting.classes, input_size=patch
    )  # fmt: skip
    return {"patch_factor": factor, "patch": list(patch), "parameters": cost.parameters, "macs": cost.macs}


def _row(setting: Setting, trial: Trial, point: Point) -> Scaled:
    return Scaled(
        width=trial.architecture.width, patch=with_patch(setting, point[1]).plan.patch_size,
        parameters=trial.extra["parameters"], macs=trial.extra["macs"], dice=trial.score,
        per_class=trial.extra.get("per_class") if trial.score is not None else None, reason=trial.reason,
    )  # fmt: skip
