"""Third stage (paper 5.3): the found architecture at every width of a grid, trained under the same settings.

The paper trains each width once, which says nothing of widths; with replicates each has several seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import mean, stdev
from typing import Any, Self

from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import ByClass, average
from c2fnas.evaluation.pairs import Pair, corrected, paired
from c2fnas.evaluation.replicates import Trainings
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import read_json, write_json
from c2fnas.planning.plan import scaled_plan
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.records.job_record import evaluation_in
from c2fnas.runs.run import Run
from c2fnas.search.width_grid import WIDTHS, refuse_factors, scaling_grid
from c2fnas.shapes import Size
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.stages.training_jobs import TrainingSpec, failure_of, run_all, trained, training_job
from c2fnas.studies.records import record, refuse_another_length
from c2fnas.text import crossed

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
        dice: mean over cases, then over classes, then over trainings; None where one has failed.
        per_class: by class name, or None.
        reason: the failure, else None.
        trainings: with as many seeds.
        spread: standard deviation of Dice between them; None of one.
    """

    width: float
    patch: Size
    parameters: int
    macs: int
    dice: float | None
    per_class: ByClass | None
    reason: str | None = None
    trainings: int = 1
    spread: float | None = None

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
    replicates: int | None = None,
) -> tuple[Scaled, ...]:
    """Train ``architecture`` at every width, with every factor of the patch, and leave ``scale/table.json``.

    A training that has ended is not done again. Further widths join the table.

    Args:
        run: its deployment recipe, first weights and split of the search serve every width.
        widths: multipliers of the paper's filter counts, not of the run's width.
        patches: with more than 1.0, compound scaling: every width with every one.
        architecture: None for that of the run's fine stage.
        replicates: trainings of each width, with the run's seed and those after it; None for as many as the table has
            of one, or was to have. A width keeps those that it has.

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
    rows = {(row.width, row.patch): row for row in read_scaled(run.folder)}
    least = replicates or _replicates_before(run)
    counts = {point: max(least, rows[point].trainings if point in rows else 1) for point in points}
    jobs = {
        (point, further): scaled_job(run, each, factors[point[1]], further)
        for further in range(max(counts.values()))  # seeds beyond the run's own: every width once before any twice
        for point, each in points.items()
        if further < counts[point]
    }
    names = {job.id: training for training, job in jobs.items()}

    def settle(outcome: Outcome) -> None:
        point, further = names[outcome.job_id]
        facts = {"patch_factor": factors[point[1]], "patch": list(point[1]), "further_seed": further or None}
        record(run, STAGE, points[point], outcome, facts)
        if reason := failure_of(outcome):
            run.reporter.say(f"{_name(point)}{_seed(run, further)}, failed and is left out: {reason}")

    outcomes = dict(zip(jobs, run_all(run, STAGE, [*jobs.values()], settle), strict=True))
    for point, each in points.items():
        rows[point] = _row(run, each, point[1], [outcomes[point, further] for further in range(counts[point])])
    ordered = tuple(rows[point] for point in sorted(rows, key=lambda point: (point[1], point[0])))
    write_json(run.folder.scale_table, [row.to_json() for row in ordered])
    return ordered


def neighbours(run: Run) -> tuple[Pair, ...]:
    """Return each width of the table against the next narrower one of the same patch."""
    factors, pairs = _earlier_factors(run), []
    last: dict[Size, tuple[str, Trainings]] = {}
    for row in read_scaled(run.folder):
        folders = [run.folder.scale / _folder(row.width, factors[row.patch], each) for each in range(row.trainings)]
        evaluations = [evaluation_in(folder) for folder in folders]
        scored = {(len(run.folds) - 1, seed): each for seed, each in enumerate(evaluations) if each is not None}
        if row.dice is None or len(scored) < row.trainings:
            continue
        own: tuple[str, Trainings] = (_name((row.width, row.patch)), scored)
        if row.patch in last:
            seed, margin = run.config.seed, run.config.margin
            pairs.append(paired(own, last[row.patch], groups=run.groups, seed=seed, margin=margin))
        last[row.patch] = own
    return corrected(pairs)


def _replicates_before(run: Run) -> int:
    """The trainings of a width that an earlier call has asked for, though it may not have come to its table."""
    return 1 + max((trial.extra.get("further_seed") or 0 for trial in run.ledger(STAGE).trials()), default=0)


def read_scaled(folder: RunFolder) -> tuple[Scaled, ...]:
    """Return the rows of Table 4 that a run has so far."""
    return tuple(map(Scaled.from_json, read_json(folder.scale_table))) if folder.scale_table.exists() else ()


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
                f"--patches: {factors[patch]:g} and {factor:g} both give patches of {crossed(patch)}. Leave one out."
            )
        factors[patch] = factor
    return factors


def scaled_job(run: Run, architecture: Architecture, factor: float, further: int = 0) -> Job:
    """Return the job that trains and scores one width, with a ``further`` seed than the run's own."""
    seed = run.config.seed + further
    spec = TrainingSpec(architecture, run.config.deployment.recipe, seed=seed, patch_factor=factor)
    name = _folder(architecture.width, factor, further)
    return training_job(run, name, run.folder.scale / name, spec)


def _folder(width: float, factor: float, further: int) -> str:
    return f"width-{width:g}-patch-{factor:g}{f'-seed-{further}' if further else ''}"


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


def _row(run: Run, architecture: Architecture, patch: Size, outcomes: Sequence[Outcome]) -> Scaled:
    """A row of all trainings of a width; none that has failed is passed over."""
    cost = network_cost(architecture, in_channels=run.in_channels, classes=run.classes, input_size=patch)
    row = Scaled(architecture.width, patch, cost.parameters, cost.macs, None, None, trainings=len(outcomes))
    reasons = {further: reason for further, outcome in enumerate(outcomes) if (reason := failure_of(outcome))}
    if reasons:
        told = [f"seed {run.config.seed + further}: {each}" if further else each for further, each in reasons.items()]
        return replace(row, reason="; ".join(told))
    values = [trained(outcome) for outcome in outcomes]
    dice = [value.score for value in values]
    per_class = {name: average([value.per_class[name] for value in values]) for name in values[0].per_class}
    return replace(row, dice=mean(dice), per_class=per_class, spread=stdev(dice) if len(dice) > 1 else None)


def _seed(run: Run, further: int) -> str:
    return f", seed {run.config.seed + further}" if further else ""


def _name(point: Point) -> str:
    return f"Width {point[0]:g}, patch {crossed(point[1])}"
