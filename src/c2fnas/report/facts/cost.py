"""What a run has done, what it cost in device-hours, what is left and how long that will take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2fnas.data.plan import Plan
from c2fnas.evaluation.verdict import REFERENCES
from c2fnas.files import read_json
from c2fnas.report.facts.coarse import CoarseFacts
from c2fnas.report.facts.jobs import (
    job_folders,
    job_seconds,
    payload_of,
    processes_of,
    read_curve,
    result_of,
    seconds_under,
    training_seconds,
)
from c2fnas.report.facts.pace import Pace, read_pace
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.ledger import trials_of
from c2fnas.runs.trial import Trial
from c2fnas.search import successive_halving


@dataclass(frozen=True)
class StageCost:
    """A stage of a run.

    Attributes:
        name: of the stage.
        done: units of work that are finished, of ``total``.
        unit: what is counted.
        seconds: device-seconds so far, of unfinished and failed jobs too.
        left: device-seconds that are left, estimated; None where the run does not tell yet.
        devices: how many can work at it at a time.
        finished: whether nothing is left of it.
    """

    name: str
    done: int
    total: int
    unit: str
    seconds: float
    left: float | None
    devices: int = 1
    finished: bool = False

    @property
    def wait(self) -> float | None:
        """Seconds until it is done, from its start on."""
        return None if self.left is None else self.left / max(1, self.devices)


@dataclass(frozen=True)
class Costs:
    """The stages that a run has, in order; those it does on request only where they have begun."""

    stages: tuple[StageCost, ...]

    @property
    def seconds(self) -> float:
        """Device-seconds so far."""
        return sum(each.seconds for each in self.stages)

    @property
    def finished(self) -> bool:
        """Whether every stage is done."""
        return all(each.finished for each in self.stages)

    @property
    def eta(self) -> float | None:
        """Seconds until all of it is done; None where that can't be told."""
        waits = [each.wait for each in self.stages]
        return None if any(wait is None for wait in waits) else sum(wait or 0.0 for wait in waits)


def read_costs(folder: RunFolder, config: RunConfig, plan: Plan | None, coarse: CoarseFacts) -> Costs:
    """The stages of a run, each with what is done and left of it."""
    pace = read_pace(folder, config, plan.stride) if plan else Pace(None, None, (1, 1, 1))
    validation = _validation_cases(folder)
    searched = config.kind == "search"
    stages = []
    if searched or coarse.trials:
        stages.append(_coarse(folder, config, coarse, pace))
    if searched or folder.supernet.exists():
        stages.append(_supernet(folder, config, pace))
        stages.append(_ranking(folder, config, plan, pace, validation))
    stages += _verification(folder)
    stages += _trained(folder, "widths", "scale", folder.scale)
    deployment = _deployment(folder, config, plan, pace, validation)
    stages.append(deployment)
    if config.verdict or folder.verdict.exists():
        stages.append(_verdict(folder, config, deployment))
    stages += _trained(folder, "ablation", "ablation", folder.ablation)
    return Costs(tuple(stages))


def _coarse(folder: RunFolder, config: RunConfig, coarse: CoarseFacts, pace: Pace) -> StageCost:
    done = len(coarse.evaluated)
    seconds = sum(_trial_seconds(folder, trial) for trial in coarse.trials) + seconds_under(folder.coarse / "finalists")
    left: float | None = 0.0
    if not coarse.finished:
        under_way = sum(_trial_seconds(folder, trial) for trial in coarse.trials if not trial.finished)
        recipe = config.coarse.recipe
        each = (seconds - under_way) / done if done else pace.training(recipe, recipe.iterations)
        left = None if each is None else max(0.0, (coarse.evaluations - done) * each - under_way)
    return StageCost(
        "coarse", done, coarse.evaluations, "topologies", seconds, left, len(config.devices), coarse.finished
    )


def _trial_seconds(folder: RunFolder, trial: Trial) -> float:
    if trial.finished and trial.seconds is not None:
        return trial.seconds
    return max(float(trial.extra.get("seconds", 0.0)), job_seconds(folder.coarse_trial(trial.number)))


def _supernet(folder: RunFolder, config: RunConfig, pace: Pace) -> StageCost:
    curve, recipe = read_curve(folder.supernet), config.fine.recipe
    finished = result_of(folder.supernet) is not None
    if curve.done and not finished:
        left: float | None = (recipe.iterations - curve.done) * training_seconds(folder.supernet) / curve.done
    else:
        left = 0.0 if finished else pace.training(recipe, recipe.iterations)
    return StageCost(
        "super-network",
        recipe.iterations if finished else curve.done,
        recipe.iterations,
        "iterations",
        job_seconds(folder.supernet),
        left,
        processes_of(folder.supernet),
        finished,
    )


def _ranking(folder: RunFolder, config: RunConfig, plan: Plan | None, pace: Pace, validation: int) -> StageCost:
    """Counted in pairs of candidate and case."""
    fine, root = config.fine, folder.ranking
    cases = min(fine.cases or validation, validation)
    rungs = successive_halving.plan_rungs(fine.candidates, cases, fine.rungs) if cases else []
    total = successive_halving.work(rungs) + (fine.audit * cases if len(rungs) > 1 else 0) if cases else 0
    jobs = [job for job in job_folders(root) if not _is_of_verification(job)]
    seconds = sum(map(job_seconds, jobs)) + seconds_under(folder.fine / "latency")
    pairs = sum(_pairs(payload_of(job), cases) for job in jobs if result_of(job) is not None)
    finished = folder.ranking_file.exists() or (folder.fine / "architecture.json").exists()
    if finished:
        left: float | None = 0.0
    elif pairs:
        left = seconds / pairs * max(0, total - pairs)
    else:
        left = pace.cases(total, plan.ranking_stride) if plan and total else None
    done = min(pairs, total) if not finished else total
    return StageCost("ranking", done, total, "candidate–case pairs", seconds, left, len(config.devices), finished)


def _is_of_verification(ranking_job: Path) -> bool:
    """Whether it has scored candidates that were to be retrained."""
    return ranking_job.parent.name.startswith("verify")


def _pairs(payload: dict, cases: int) -> int:
    return len(payload.get("paths", ())) * len(payload.get("cases", range(cases)))


def _deployment(folder: RunFolder, config: RunConfig, plan: Plan | None, pace: Pace, validation: int) -> StageCost:
    recipe, folds = config.deployment.recipe, config.deployment.folds
    begun = {int(path.name.removeprefix("fold-")) for path in folder.final.glob("fold-*")}
    wanted = sorted({*folds, *begun})
    open_ = [fold for fold in wanted if result_of(folder.final_fold(fold)) is None]
    left: float | None = 0.0
    for fold in open_:
        curve = read_curve(folder.final_fold(fold))
        rest = recipe.iterations - curve.done
        own = training_seconds(folder.final_fold(fold))
        training = rest * own / curve.done if curve.done else pace.training(recipe, rest)
        checking = pace.cases(validation, plan.stride, mirror=recipe.mirror) if plan else None
        left = None if left is None or training is None else left + training + (checking or 0.0)
    seconds = sum(job_seconds(folder.final_fold(fold)) for fold in wanted)
    together = max((processes_of(folder.final_fold(fold)) for fold in wanted), default=1)
    devices = max(together, min(len(config.devices), len(open_)))
    return StageCost("deployment", len(wanted) - len(open_), len(wanted), "folds", seconds, left, devices, not open_)


def _verdict(folder: RunFolder, config: RunConfig, deployment: StageCost) -> StageCost:
    """Each reference is trained on each fold as the found network is, and takes about as long."""
    jobs = job_folders(folder.verdict)
    done, total = sum(result_of(job) is not None for job in jobs), REFERENCES * len(config.deployment.folds)
    total = max(len(jobs), total)  # folds that are trained later, for an ensemble, are not the verdict's
    finished, left = folder.verdict_file.exists(), None
    if deployment.left is not None:
        left = (deployment.seconds + deployment.left) / max(1, deployment.total) * (total - done)
    seconds, devices = sum(map(job_seconds, jobs)), min(len(config.devices), max(1, total - done))
    return StageCost("verdict", done, total, "trainings", seconds, 0.0 if finished else left, devices, finished)


def _verification(folder: RunFolder) -> list[StageCost]:
    """Candidates scored on all cases and retrained, where a user has asked for it.

    It counts jobs that have begun, since nothing says how many there will be. One that failed is left out for good once
    the result is there.
    """
    jobs = job_folders(folder.verification)
    jobs += [job for job in job_folders(folder.ranking) if _is_of_verification(job)]
    if not jobs:
        return []
    told = read_json(folder.verification_file) if folder.verification_file.exists() else None
    done = sum(result_of(job) is not None or _is_left_out(job, told) for job in jobs)
    finished = told is not None and done == len(jobs)
    seconds, left = sum(map(job_seconds, jobs)), 0.0 if finished else None
    return [StageCost("verification", done, len(jobs), "jobs", seconds, left, 1, finished)]


def _is_left_out(job: Path, told: dict[str, Any] | None) -> bool:
    """Whether the result, without which nothing is settled, was made without this job."""
    if told is None:
        return False
    if _is_of_verification(job):
        return job.parent.name == f"verify-{len(told['candidates'])}"
    numbers = {each.get("number") for each in told["candidates"]}
    known = numbers == {None} or int(job.name.split("-")[0]) in numbers  # an earlier version has not told numbers
    return known and job.parent.name == f"{told['iterations']}-iterations"


def _trained(folder: RunFolder, name: str, stage: str, root: Path) -> list[StageCost]:
    """Trainings that a user has asked for, as the ledger has them: one that failed is never tried again."""
    trials = trials_of(folder, stage)
    if not trials:
        return []
    done = sum(trial.finished for trial in trials)
    left = 0.0 if done == len(trials) else None
    return [StageCost(name, done, len(trials), "trainings", seconds_under(root), left, 1, done == len(trials))]


def _validation_cases(folder: RunFolder) -> int:
    return len(read_json(folder.folds)[-1]["validation"]) if folder.folds.exists() else 0
