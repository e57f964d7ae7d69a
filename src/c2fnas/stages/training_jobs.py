"""Trainings as jobs: what each is to do, and how the list of a stage is run.

Coarse candidates, deployed networks, widths, ablations, verification, the references of a verdict and the entries of a
table of topologies are lists of :class:`TrainingSpec`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from c2fnas.data.folds import Fold
from c2fnas.execution.call import RESULT, finished
from c2fnas.execution.job import Job, Outcome
from c2fnas.networks.designs import Design, design_from_json
from c2fnas.planning.training_seconds import forecast_trainings, seconds_of_trainings
from c2fnas.runs.driver import run_jobs
from c2fnas.runs.records.trained import Trained
from c2fnas.runs.run import Run
from c2fnas.training.checkpoint import forget_checkpoints, has_checkpoint
from c2fnas.training.recipe import Recipe

Json = dict[str, Any]
Keep = Literal["nothing", "weights", "package", "model"]


@dataclass(frozen=True)
class TrainingSpec:
    """One training and its validation: with the run's data and plan, everything that decides its result.

    Attributes:
        design: the network.
        recipe: its training.
        fold: number of the fold whose training cases train and whose validation cases score; -1: the search's;
            ``every-case``: every case trains, and none scores.
        seed: of weights, order of patches and augmentation.
        until: pause after this iteration and score; called again with a later one, the training carries on.
        score_at: iterations on the way at which Dice is measured, too.
        cases: number of validation cases, spread evenly; None: all.
        window: ``plan`` for the plan's stride, ``coarse`` for the stride of coarse candidates.
        mirror: average over mirrored views where the recipe says so, as a deployed network does.
        patch_factor: factor of the plan's patch and stride.
        extend: let a finished training go on by this recipe, of more iterations.
        start: checksum of the run's model to begin with; None: from scratch.
        keep: what stays beside ``evaluation.json``: nothing, the weights, a model package, or as ``model`` a package
            and the last checkpoint, by which the training can be extended.
    """

    design: Design
    recipe: Recipe
    fold: Fold = -1
    seed: int = 0
    until: int | None = None
    score_at: tuple[int, ...] = ()
    cases: int | None = None
    window: Literal["plan", "coarse"] = "plan"
    mirror: bool = False
    patch_factor: float = 1.0
    extend: bool = False
    start: str | None = None
    keep: Keep = "nothing"

    def to_json(self) -> Json:
        """Return the spec as JSON."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        recipe = self.recipe.model_dump(mode="json")
        return own | {"design": self.design.to_json(), "recipe": recipe, "score_at": list(self.score_at)}

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Return what :meth:`to_json` gave."""
        recipe = Recipe.model_validate(value["recipe"])
        own = {"design": design_from_json(value["design"]), "recipe": recipe, "score_at": tuple(value["score_at"])}
        return cls(**{**value, **own})


def training_job(run: Run, name: str, folder: Path, spec: TrainingSpec) -> Job:
    """Return the job that trains and scores ``spec`` in ``folder``, which lies in the run folder."""
    way = Path(*[".."] * len(folder.relative_to(run.folder.root).parts)).as_posix()
    return Job(name, "c2fnas.stages.training:run_spec", {"run": way, **spec.to_json()}, folder)


def run_all(
    run: Run,
    stage: str,
    jobs: Sequence[Job],
    settle: Callable[[Outcome], None] = lambda outcome: None,
    forecast: str | None = None,
    together: int | None = None,
) -> list[Outcome]:
    """Run the trainings of a stage, as many at a time as there are devices; outcomes come in the order of ``jobs``.

    One that has ended answers at once with its result; one that was cut short carries on from its checkpoint, one that
    failed is tried again, and one that could not be scored is scored again. Checkpoints go once the result is known,
    but for the last one of a network that has no score, and of a deployed one, by which it can be extended
    (docs/decisions/0014). ``settle`` hears of every outcome as it comes. How long they take is said before: by
    ``forecast``, else where steps were timed. Each has as many cores as if there were ``together`` of them.
    """
    by_id = {job.id: job for job in jobs}
    seconds = seconds_of_trainings(run, jobs, together)
    if text := forecast or forecast_trainings(run, stage, jobs, seconds):
        run.reporter.say(text)

    def forget(outcome: Outcome) -> None:
        job = by_id[outcome.job_id]
        if outcome.value is not None:
            last = job.payload["keep"] == "model" or failure_of(outcome) is not None
            forget_checkpoints(job.folder, keep=1 if last else 0)
        settle(outcome)

    for job in filter(is_to_be_scored, jobs):
        (job.folder / RESULT).unlink()
    units = seconds if len(seconds) == len(jobs) else None
    return run_jobs(run, stage, jobs, settle=forget, together=together, units=units)


def is_to_be_scored(job: Job) -> bool:
    """Return true if a training has ended without the score that it could have, and its last checkpoint is there."""
    report = finished(job)
    ended = None if report is None else Trained.of(report.value)
    return ended is not None and ended.could_be_scored and has_checkpoint(job.folder)


def failure_of(outcome: Outcome) -> str | None:
    """Return why a training has no Dice: it failed, or could not be scored. None if it has one."""
    if outcome.value is None:
        return outcome.failure or outcome.kind
    return trained(outcome).unscored


def trained(outcome: Outcome) -> Trained:
    """Return what a training has reached that has not failed."""
    assert outcome.value is not None
    return Trained.from_json(outcome.value)
