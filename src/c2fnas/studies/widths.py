"""Third stage (paper 5.3): the found architecture at every width of a grid, trained under the same settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import ByClass
from c2fnas.evaluation.pairs import Pair, corrected, paired
from c2fnas.evaluation.replicates import Trainings
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import read_json, write_json
from c2fnas.planning.plan import scaled_plan
from c2fnas.runs.run import Run
from c2fnas.search.width_grid import WIDTHS, refuse_factors, scaling_grid
from c2fnas.shapes import Size
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.space.geometry import by
from c2fnas.stages.deployment import evaluation_in
from c2fnas.stages.training_jobs import TrainingSpec, failure_of, run_all, training_job
from c2fnas.studies.records import record, refuse_another_length

STAGE = "scale"
SAME_PATCH = (1.0,)

Point = tuple[float, Size]
"""A width and a patch."""


@dataclass(frozen=True)
class Scaled:
    """A row of Table 4: a network of one width, its cost and its Dice.

    Attributes:
        width: multiplier of the paper's filter counts.
        patch: voxels that it was trained on.
        parameters: learnable numbers.
        macs: multiply-accumulates of one patch.
        dice: mean over cases, then over classes; None where its training failed.
        per_class: by class name, or None.
        reason: the failure, else None.
    """

    width: float
    patch: Size
    parameters: int
    macs: int
    dice: float | None
    per_class: ByClass | None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON."""
        return {**vars(self), "patch": list(self.patch)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` gave."""
        i, j, k = value["patch"]
        return cls(**{**value, "patch": (i, j, k)})


def search_width(
    run: Run,
    *,
    widths: Sequence[float] = WIDTHS,
    patches: Sequence[float] = SAME_PATCH,
    architecture: Architecture | None = None,
) -> tuple[Scaled, ...]:
    """Train ``architecture`` at every width, with every factor of the patch, and leave ``scale/table.json``.

    A training that has ended is not done again. Further widths join the table.

    Args:
        run: its deployment recipe, first weights and split of the search serve every width.
        widths: multipliers of the paper's filter counts, not of the run's width.
        patches: with more than 1.0, compound scaling: every width with every one.
        architecture: None for that of the run's fine stage.

    Returns:
        The rows of this call and of earlier ones, by patch, then by width.

    Raises:
        UserError: a width that is none, nothing found yet, or this run has scaled another architecture or trained
            widths for another number of iterations.
    """
    architecture = architecture or run.folder.found_architecture()
    asked = patch_factors(run, patches)
    points = {(each.width, patch): each for patch, each in product(asked, scaling_grid(architecture, widths))}
    _refuse_another(run, architecture)
    refuse_another_length(run, STAGE)
    factors = asked | _earlier_factors(run)  # a patch is trained by one factor, whichever gives it now
    jobs = {point: scaled_job(run, each, factors[point[1]]) for point, each in points.items()}
    names = {job.id: point for point, job in jobs.items()}

    def settle(outcome: Outcome) -> None:
        point = names[outcome.job_id]
        record(run, STAGE, points[point], outcome, {"patch_factor": factors[point[1]], "patch": list(point[1])})
        if reason := failure_of(outcome):
            run.reporter.say(f"{_name(point)}, failed and is left out: {reason}")

    outcomes = dict(zip(jobs, run_all(run, STAGE, [*jobs.values()], settle), strict=True))
    rows = {(row.width, row.patch): row for row in scaled_rows(run)}
    rows |= {point: _row(run, points[point], point[1], outcome) for point, outcome in outcomes.items()}
    ordered = tuple(rows[point] for point in sorted(rows, key=lambda point: (point[1], point[0])))
    write_json(run.folder.scale_table, [row.to_json() for row in ordered])
    return ordered


def neighbours(run: Run) -> tuple[Pair, ...]:
    """Return each width of the table against the next narrower one of the same patch; each was trained once."""
    factors, pairs = _earlier_factors(run), []
    last: dict[Size, tuple[str, Trainings]] = {}
    for row in scaled_rows(run):
        evaluation = evaluation_in(run.folder.scale / _folder(row.width, factors[row.patch]))
        if row.dice is None or evaluation is None:
            continue
        own: tuple[str, Trainings] = (_name((row.width, row.patch)), {(len(run.folds) - 1, 0): evaluation})
        if row.patch in last:
            pairs.append(paired(own, last[row.patch], groups=run.groups, seed=run.config.seed))
        last[row.patch] = own
    return corrected(pairs)


def scaled_rows(run: Run) -> tuple[Scaled, ...]:
    """Return the rows of Table 4 that the run has so far."""
    path = run.folder.scale_table
    return tuple(map(Scaled.from_json, read_json(path))) if path.exists() else ()


def patch_factors(run: Run, patches: Sequence[float]) -> dict[Size, float]:
    """Return the patches to train with, and the factor that gives each.

    Raises:
        UserError: none, a factor that gives no patch, or two that give the same one.
    """
    refuse_factors(patches)
    factors: dict[Size, float] = {}
    for factor in patches:
        patch = scaled_plan(run.plan, factor).patch_size
        if patch in factors:
            raise UserError(
                f"--patches: {factors[patch]:g} and {factor:g} both give patches of {by(patch)}. Leave one out."
            )
        factors[patch] = factor
    return factors


def scaled_job(run: Run, architecture: Architecture, factor: float) -> Job:
    """Return the job that trains and scores one width."""
    spec = TrainingSpec(architecture, run.config.deployment.recipe, seed=run.config.seed, patch_factor=factor)
    name = _folder(architecture.width, factor)
    return training_job(run, name, run.folder.scale / name, spec)


def _folder(width: float, factor: float) -> str:
    return f"width-{width:g}-patch-{factor:g}"


def _refuse_another(run: Run, architecture: Architecture) -> None:
    """Refuse another architecture than the table's rows are of."""
    for trial in run.ledger(STAGE).trials():
        known = trial.architecture
        if (known.topology, known.operations) != (architecture.topology, architecture.operations):
            raise UserError(
                f"{run.folder.scale}: this run has scaled another architecture, {known.to_text()}. Give it as "
                "--architecture, or choose another run folder."
            )


def _earlier_factors(run: Run) -> dict[Size, float]:
    """The factor by which each patch of the table was first given."""
    trials = run.ledger(STAGE).trials()
    return {tuple(trial.extra["patch"]): trial.extra["patch_factor"] for trial in reversed(trials)}


def _row(run: Run, architecture: Architecture, patch: Size, outcome: Outcome) -> Scaled:
    cost = network_cost(architecture, in_channels=run.in_channels, classes=run.classes, input_size=patch)
    value, reason = outcome.value or {}, failure_of(outcome)
    per_class = value.get("per_class") if reason is None else None
    return Scaled(architecture.width, patch, cost.parameters, cost.macs, value.get("dice"), per_class, reason)


def _name(point: Point) -> str:
    return f"Width {point[0]:g}, patch {by(point[1])}"
