"""The stages of a run: what each has done, what it cost and what is left of it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from c2fnas.data.folds import EVERY_CASE, Fold, fold_order
from c2fnas.data.plan import Plan
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.ledger import trials_of
from c2fnas.runs.records.job_record import JobRecord, read_job, read_jobs, read_payload
from c2fnas.runs.records.plan_choice import PlanChoice
from c2fnas.runs.timing.allowance import affordable_references, cost_of_references, measured_alone, verdict_allowance
from c2fnas.runs.timing.clock import ActiveTime
from c2fnas.runs.timing.pace import RunPace
from c2fnas.runs.timing.progress import remaining
from c2fnas.runs.timing.schedule_row import seconds_of_verdict
from c2fnas.runs.timing.slots import Slots
from c2fnas.runs.trial import Trial
from c2fnas.training.metrics_log import METRICS
from c2fnas.training.recipe import Recipe

if TYPE_CHECKING:
    from c2fnas.runs.run import Run


@dataclass(frozen=True)
class StageSummary:
    """A stage of a run.

    Attributes:
        name: of the stage.
        done: units of work that are finished, of ``total``.
        unit: what is counted.
        finished: True if nothing is left of it.
        left: device-seconds that are left, estimated; None if the run does not tell yet.
        devices: how many can work at it at a time.
        seconds: device-seconds so far, of unfinished and failed jobs too.
        clock: seconds in which at least one of its jobs was at work, by the times of the last sessions.
        failed: trainings or jobs that failed.
    """

    name: str
    done: int
    total: int
    unit: str
    finished: bool
    left: float | None
    devices: int
    seconds: float
    clock: float
    failed: int

    @property
    def state(self) -> Literal["not begun", "under way", "done"]:
        """Return where the stage stands."""
        return "done" if self.finished else "under way" if self.done or self.seconds else "not begun"

    @property
    def eta(self) -> float | None:
        """Return the seconds from its start, or from now, to its end, with all its devices at work."""
        return None if self.left is None else self.left / max(1, self.devices)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value; times are in seconds."""
        return {**asdict(self), "state": self.state, "eta": self.eta}


def evaluated_trials(trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """Return the trials with a Dice, at their end or where they were stopped, in order of completion."""
    known = [trial for trial in trials if trial.finished and trial.evidence is not None]
    return tuple(sorted(known, key=lambda trial: trial.order or 0))


@dataclass(frozen=True)
class RunFiles:
    """Files of a run, read once.

    ``cases`` is the number of validation cases of the search; ``folds`` are those to be deployed; ``slots`` are those
    that the run has now, or had last.
    """

    folder: RunFolder
    config: RunConfig
    plan: Plan | None
    cases: int
    folds: tuple[Fold, ...]
    trials: tuple[Trial, ...]
    pace: RunPace
    slots: Slots


def stages_of(run: "Run") -> tuple[StageSummary, ...]:
    """Return the stages of a run whose pace is not asked for: what they have done and cost."""
    cases, trials = len(run.search_split.validation), trials_of(run.folder, "coarse")
    return summarise_stages(
        RunFiles(run.folder, run.config, run.plan, cases, run.final_folds, trials, RunPace(), run.slots)
    )


def summarise_stages(run: RunFiles) -> tuple[StageSummary, ...]:
    """Return the stages in order; those that are done on request only if they have begun."""
    folder, searched = run.folder, run.config.kind == "search"
    stages = _measured(folder)
    if (searched and run.config.coarse.evaluations) or run.trials:
        stages.append(_coarse(run))
    if (searched and run.config.fine.candidates) or folder.supernet.exists():
        stages += [_supernet(run), _ranking(run)]
    again = [job for job in read_jobs(folder.ranking) if _verifies(job)]
    stages += _on_request("verification", [*again, *read_jobs(folder.verification)], folder.verification_file)
    stages += _on_request("widths", read_jobs(folder.scale), folder.scale_table)
    deployment = _deployment(run)
    stages.append(deployment)
    due = run.config.searches and run.config.judges(run.folds)
    if due or any(folder.verdict.glob("*/fold-*")):
        stages.append(_verdict(run, deployment))
    return *stages, *_on_request("ablation", read_jobs(folder.ablation))


def _measured(folder: RunFolder) -> list[StageSummary]:
    """Return the trainings that measured the run's pace or raced its plans; those that lost are gone but cost time."""
    trained = (folder.final_fold(fold) / METRICS for fold in folder.begun_folds)
    begun = next(filter(Path.exists, trained), None)  # what was cut short before is not needed any more
    stages = _on_request("measured steps", read_jobs(folder.race), begun)
    lost = PlanChoice.load(folder.choice).lost_seconds
    return [replace(each, seconds=each.seconds + lost) for each in stages]


def _coarse(run: RunFiles) -> StageSummary:
    config, done = run.config.coarse, len(evaluated_trials(run.trials))
    finished = run.folder.coarse_architecture.exists()
    times = [(trial, *_trial_time(run.folder, trial)) for trial in run.trials]
    again = read_jobs(run.folder.finalists)
    seconds = sum((own for _, own, _ in times), 0.0) + sum(job.seconds for job in again)
    under_way = sum(own for trial, own, _ in times if not trial.finished)
    left = remaining(config.evaluations - done, done, seconds - under_way)
    if left is None:
        left = run.pace.training(config.recipe, config.evaluations * config.recipe.iterations)
    return StageSummary(
        "coarse",
        done,
        config.evaluations,
        "topologies",
        finished,
        left=0.0 if finished else left and max(0.0, left - under_way),
        devices=min(run.slots.jobs, max(1, config.evaluations - done)),
        seconds=seconds,
        clock=clock_seconds([*(span for *_, span in times), *(job.span for job in again)]),
        failed=sum(trial.state == "failed" for trial in run.trials),
    )


def _trial_time(folder: RunFolder, trial: Trial) -> tuple[float, tuple[float, float]]:
    """Return the device-seconds of a coarse candidate, and their start and end on the clock."""
    if trial.ended and trial.seconds is not None:
        end = trial.ended.timestamp()
        return trial.seconds, (end - trial.seconds, end)
    job = read_job(folder.coarse_trial(trial.number))
    return max(float(trial.extra.get("seconds", 0.0)), job.seconds), job.span


def _supernet(run: RunFiles) -> StageSummary:
    job, recipe = read_job(run.folder.supernet), run.config.fine.recipe
    done = recipe.iterations if job.done else job.curve.done
    left = 0.0 if job.done else _training_left(job, recipe, run.pace)
    return StageSummary(
        "super-network", done, recipe.iterations, "iterations", job.done, left, job.processes, **_spent([job])
    )


def _ranking(run: RunFiles) -> StageSummary:
    """Return the ranking, counted in pairs of candidate and case."""
    folder, fine = run.folder, run.config.fine
    cases = min(fine.cases or run.cases, run.cases)
    total = fine.pairs(cases)
    ranked = [job for job in read_jobs(folder.ranking) if not _verifies(job)]
    jobs = [*ranked, *read_jobs(folder.latency)]
    scored = sum(_pairs(job, cases) for job in ranked if job.done)
    finished = folder.ranking_file.exists() or folder.fine_architecture.exists()
    left = remaining(total - scored, scored, sum(job.seconds for job in jobs))
    if left is None and run.plan and total:
        left = run.pace.cases(total, run.plan.ranking_stride)
    done = total if finished else min(scored, total)
    left = 0.0 if finished else left
    unit = "candidate–case pairs"
    return StageSummary("ranking", done, total, unit, finished, left, run.slots.jobs, **_spent(jobs))


def _pairs(job: JobRecord, cases: int) -> int:
    payload = read_payload(job.folder)
    return len(payload.get("paths", ())) * len(payload.get("cases", range(cases)))


def _deployment(run: RunFiles) -> StageSummary:
    recipe = run.config.deployment.recipe
    jobs = [
        read_job(run.folder.final_fold(fold)) for fold in sorted({*run.folds, *run.folder.begun_folds}, key=fold_order)
    ]
    waiting = [job for job in jobs if not job.done]
    trainings = [_training_left(job, recipe, run.pace) for job in waiting]
    checking = run.pace.cases(run.cases, run.plan.stride, mirror=recipe.mirror) if run.plan else None
    left = None if None in trainings else sum(each or 0.0 for each in trainings) + len(waiting) * (checking or 0.0)
    together = max((job.processes for job in jobs), default=1)
    devices = max(together, min(run.slots.jobs, len(waiting)))
    done = len(jobs) - len(waiting)
    left = left if jobs else None
    finished = bool(jobs) and not waiting
    return StageSummary("deployment", done, len(jobs), "folds", finished, left, devices, **_spent(jobs))


def _training_left(job: JobRecord, recipe: Recipe, pace: RunPace) -> float | None:
    """Return the device-seconds left of a training, at its own pace or else at the run's."""
    rest = recipe.iterations - job.curve.done
    own = remaining(rest, job.curve.done, job.training_seconds)
    return pace.training(recipe, rest) if own is None else own


def _verdict(run: RunFiles, deployment: StageSummary) -> StageSummary:
    """Return the verdict: each reference is trained on each fold, and takes about as long as the found network."""
    jobs, written = read_jobs(run.folder.verdict), _written(run.folder.verdict_file)
    finished = written > 0 and all(_settled(job, written) for job in jobs)  # further ones may be under way
    done = sum(job.done for job in jobs)
    total = len(jobs) if finished else max(len(jobs), _trainings_of_verdict(run, deployment))
    left = None
    if deployment.left is not None:
        left = remaining(total - done, max(1, deployment.total), deployment.seconds + deployment.left)
    devices = min(run.slots.jobs, max(1, total - done))
    left = 0.0 if finished else left
    return StageSummary("verdict", done, total, "trainings", finished, left, devices, **_spent(jobs))


def _trainings_of_verdict(run: RunFiles, deployment: StageSummary) -> int:
    """Its references on each fold; in a time budget on one fold, and as many as that pays for."""
    scored, config = len({*run.folds} - {EVERY_CASE}), run.config
    if config.seconds is None:
        return config.references * scored
    allowance = seconds_of_verdict(run.folder.schedule)
    if allowance is None:
        left = config.seconds - ActiveTime(run.folder.spent).seconds - (deployment.eta or 0)
        allowance = verdict_allowance(config, left)
    one = (deployment.seconds + (deployment.left or 0)) / max(1, deployment.total)
    alone = measured_alone(run.folder, run.slots)
    cost = cost_of_references(one, max(1, deployment.total), run.slots.jobs, alone)
    return min(1, scored) * affordable_references(config.references, allowance, cost)


def _verifies(job: JobRecord) -> bool:
    """True if a job of the ranking has scored candidates that were to be retrained."""
    return job.folder.parent.name.startswith("verify")


def _on_request(name: str, jobs: list[JobRecord], result: Path | None = None) -> list[StageSummary]:
    """Return the jobs that a user has asked for beside the run, if any has begun; nothing tells how many there will be.

    A job without a result is settled once the file of the study's ``result`` is newer: it was left out.
    """
    if not jobs:
        return []
    written = _written(result) if result else 0.0
    done = sum(_settled(job, written) for job in jobs)
    finished = done == len(jobs) and (result is None or written > 0)
    left = 0.0 if finished else None
    return [StageSummary(name, done, len(jobs), "jobs", finished, left, 1, **_spent(jobs))]


def _written(path: Path) -> float:
    """The time at which a file was written, in seconds since the epoch; 0 before it was."""
    return path.stat().st_mtime if path.exists() else 0.0


def _settled(job: JobRecord, written: float) -> bool:
    """True of a job that has ended, or that a result which was ``written`` since has left out."""
    return job.done or job.failed or job.ended <= written


def _spent(jobs: Iterable[JobRecord]) -> dict[str, Any]:
    """Return what a stage's jobs have taken, as fields of its summary."""
    jobs = list(jobs)
    return {
        "seconds": sum((job.seconds for job in jobs), 0.0),
        "clock": clock_seconds(job.span for job in jobs),
        "failed": sum(job.failed for job in jobs),
    }


def clock_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of some spans of time.

    >>> clock_seconds([(0.0, 4.0), (6.0, 7.0), (3.0, 5.0)])
    6.0
    """
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
