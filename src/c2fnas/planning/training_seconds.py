"""The seconds of a stage's trainings, one by one: what an ETA and a line before they begin say."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from c2fnas.execution.call import finished
from c2fnas.execution.job import Job
from c2fnas.networks.designs import design_from_json
from c2fnas.planning.budget import Workload, network_seconds
from c2fnas.planning.configuration import count_work
from c2fnas.planning.run_timings import expected_timings
from c2fnas.planning.schedule import preparation_of
from c2fnas.runs.run import Run
from c2fnas.text import duration, plural
from c2fnas.training.recipe import Recipe


def seconds_of_trainings(run: Run, jobs: Sequence[Job], together: int | None = None) -> dict[str, float]:
    """Return the seconds that each of a stage's trainings takes, by its job, done ones included.

    Nothing where none is left to do, or no steps were timed. Each has as many cores as if there were ``together``.
    """
    trainings = [job for job in jobs if "design" in job.payload]
    if all(map(finished, trainings)) or not run.folder.timings.exists():
        return {}
    work = count_work(run.config, preparation_of(run))
    return {job.id: _seconds_of(run, job, work, together or len(jobs)) for job in trainings}


def forecast_trainings(run: Run, stage: str, jobs: Sequence[Job], seconds: Mapping[str, float]) -> str | None:
    """Return how long a stage's trainings that are not done will take by their ``seconds``; None if there are none."""
    waiting = [seconds[job.id] for job in jobs if job.id in seconds and not finished(job)]
    if not waiting:
        return None
    together = sum(waiting) / min(count_work(run.config, preparation_of(run)).devices, len(waiting))
    where = run.slots.text(run.config.devices)
    return f"{stage.capitalize()}: {plural(len(waiting), 'training')}, together ≈ {duration(together)} on {where}."


def _seconds_of(run: Run, job: Job, work: Workload, jobs: int) -> float:
    """The seconds of a training of a stage of so many ``jobs``, whatever its network and patch."""
    payload = job.payload
    recipe, design = Recipe.model_validate(payload["recipe"]), design_from_json(payload["design"])
    length = recipe.model_copy(update={"iterations": payload["until"] or recipe.iterations})
    timings = expected_timings(run, design).times(payload["patch_factor"] ** 3).beside(jobs, work.devices)
    scored = replace(work, validation_cases=min(payload["cases"] or work.validation_cases, work.validation_cases))
    return network_seconds(length, timings, scored, "deployment" if payload["mirror"] else "coarse")
