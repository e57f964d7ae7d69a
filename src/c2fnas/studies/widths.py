"""Third stage (paper 5.3): the found architecture at every width of a grid, trained under the same settings."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from c2fnas.errors import UserError
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job
from c2fnas.files import write_json
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.reporter import Reporter
from c2fnas.runs.run import Setting
from c2fnas.runs.trial import Trial
from c2fnas.search.scaling_grid import WIDTHS, scaling_grid
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.studies.ledger_grid import LedgerGrid
from c2fnas.studies.scaled import Scaled
from c2fnas.studies.width_job import with_patch

STAGE = "scale"
SAME_PATCH = (1.0,)

Patch = tuple[int, int, int]
Point = tuple[float, Patch]
"""A width and a patch."""


def search_width(
    setting: Setting,
    executor: Executor,
    reporter: Reporter,
    *,
    widths: Sequence[float] = WIDTHS,
    patches: Sequence[float] = SAME_PATCH,
    architecture: Architecture | None = None,
) -> tuple[Scaled, ...]:
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
        A row for each that was trained in this call or an earlier one, by patch, then by width.

    Raises:
        UserError: a width that is none, nothing found yet, or this run has scaled another architecture or trained
            widths for another number of iterations.
    """
    architecture = architecture or _found(setting)
    factors = patch_factors(setting, patches)
    search = _ScalingGrid(setting, grid(architecture, widths, factors), factors)
    _refuse_another(setting, search.ledger, architecture)
    search.refuse_another_length()
    search.run(executor, reporter)
    trained = {search.point(trial): trial for trial in search.ledger.trials() if trial.finished}
    rows = tuple(_row(trained[point]) for point in sorted(trained, key=lambda point: (point[1], point[0])))
    write_json(setting.folder.scale_table, [row.to_json() for row in rows])
    return rows


def patch_factors(setting: Setting, patches: Sequence[float]) -> dict[Patch, float]:
    """The patches to train with, and the factor that gives each.

    Raises:
        UserError: none, a factor that gives no patch, or two that give the same one.
    """
    if not patches or any(not 0 < factor < 8 for factor in patches):
        raise UserError("--patches: give at least one factor, above 0 and below 8.")
    factors: dict[Patch, float] = {}
    for factor in patches:
        patch = with_patch(setting, factor).plan.patch_size
        if patch in factors:
            raise UserError(
                f"--patches: {factors[patch]:g} and {factor:g} both give patches of {_sides(patch)}. Leave one out."
            )
        factors[patch] = factor
    return factors


def grid(architecture: Architecture, widths: Sequence[float], patches: Iterable[Patch]) -> dict[Point, Architecture]:
    """What there is to train.

    Raises:
        UserError: no width, or one that gives no whole number of filters or is given twice.
    """
    try:
        scaled = scaling_grid(architecture, widths)
    except ValueError as error:
        raise UserError(f"--widths: {error}.") from error
    if not scaled:
        raise UserError("--widths: give at least one.")
    return {(each.width, patch): each for patch, each in product(patches, scaled)}


class _ScalingGrid(LedgerGrid[Point]):
    """The third stage of one run."""

    stage = STAGE

    def __init__(self, setting: Setting, points: Mapping[Point, Architecture], factors: Mapping[Patch, float]) -> None:
        super().__init__(setting, points)
        self._factors = factors

    def point(self, trial: Trial) -> Point:
        return trial.architecture.width, _patch(trial)

    def facts(self, point: Point) -> dict[str, Any]:
        """What the ledger keeps with a width: its patch, its cost and how long it is trained."""
        setting, patch = self.setting, point[1]
        cost = network_cost(
            self.points[point], in_channels=setting.in_channels, classes=setting.classes, input_size=patch
        )
        return {
            "patch_factor": self._factors[patch],
            "patch": list(patch),
            "parameters": cost.parameters,
            "macs": cost.macs,
            "iterations": setting.config.deployment.recipe.iterations,
        }

    def job(self, trial: Trial) -> Job:
        return scaled_job(self.setting, trial)

    def name(self, trial: Trial) -> str:
        return f"Width {trial.architecture.width:g}, patch {_sides(_patch(trial))},"


def scaled_job(setting: Setting, trial: Trial) -> Job:
    """The job that trains and scores one width."""
    return Job(
        id=f"width {trial.number}",
        target="c2fnas.studies.width_job:train_scaled",
        payload={
            "run": "../..",
            "architecture": trial.architecture.to_json(),
            "patch_factor": trial.extra["patch_factor"],
        },
        folder=setting.folder.scale_trial(trial.number),
    )


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


def _row(trial: Trial) -> Scaled:
    return Scaled(
        width=trial.architecture.width,
        patch=_patch(trial),
        parameters=trial.extra["parameters"],
        macs=trial.extra["macs"],
        dice=trial.score,
        per_class=trial.extra.get("per_class") if trial.score is not None else None,
        reason=trial.reason,
    )


def _patch(trial: Trial) -> Patch:
    first, second, third = trial.extra["patch"]
    return first, second, third


def _sides(patch: Patch) -> str:
    return "×".join(map(str, patch))
