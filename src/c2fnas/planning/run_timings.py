"""The seconds of steps on the machine at hand: a few that are timed, corrected by what the run's own trainings took."""

from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from c2fnas.cores import busy_cores, usable_cores, usable_threads
from c2fnas.data.plan import Plan
from c2fnas.devices import hardware_name
from c2fnas.errors import UserError
from c2fnas.execution.environment import is_cuda
from c2fnas.files import read_json, write_json
from c2fnas.networks.designs import Design, design_from_json, first_design
from c2fnas.planning.configuration import timed_recipe
from c2fnas.planning.middle import middle_network
from c2fnas.planning.step_timing import measure
from c2fnas.runs.records.job_record import JobRecord, read_job, read_payload
from c2fnas.runs.records.plan_choice import PlanChoice
from c2fnas.runs.run import Run
from c2fnas.runs.timing.timings import Timings
from c2fnas.space.architecture import Architecture
from c2fnas.text import crossed
from c2fnas.training.recipe import Recipe

TELLING = 50
"""Iterations of a training under way that tell its pace: the first ones take many times as long."""


def measured_timings(
    run: Run, devices: tuple[str, ...], design: Design, recipe: Recipe, plan: Plan | None = None
) -> Timings:
    """Return the seconds of steps and windows on the machine at hand, measured once for a plan, network and devices.

    ``plan`` is one that may be chosen, instead of the run's.
    """
    path, plan = run.folder.timings, plan or run.plan
    hardware = [*dict.fromkeys(map(hardware_name, devices))]
    machine = {"hardware": hardware, "devices": list(devices), "threads": usable_threads()}
    what = {"patch": list(plan.patch_size), "network": design.to_text(), "precision": recipe.precision}
    unnoted = {"threads": machine["threads"], "precision": recipe.precision}  # by earlier versions
    kept: dict[str, Any] = unnoted | read_json(path) if path.exists() else {}
    here = run.elsewhere or {name: kept.get(name) for name in machine} == machine
    if here and {name: kept.get(name) for name in what} == what:
        return Timings(**kept["seconds"])
    if others := beside_others(devices):
        run.reporter.say(others)
    width = f", width {design.width:g}" if isinstance(design, Architecture) else ""
    run.reporter.say(f"Timing a few steps on patches of {crossed(plan.patch_size)}{width} ...")
    try:
        timings = measure(plan, design, recipe, devices)
    except (MemoryError, RuntimeError) as error:
        raise UserError(
            f"{devices[0]}: training steps on patches of {crossed(plan.patch_size)} could not be timed ({error}). Free "
            "memory, name another device, or ask for smaller patches (--set plan.patch_size=[64,64,64]) or a smaller "
            "--set width=0.25."
        ) from error
    if not here:
        _set_aside(run.folder.measured)
    earlier = kept.get("earlier", []) if here else [folder.name for folder in _own_trainings(run)]
    write_json(path, {**machine, **what, "seconds": vars(timings), "earlier": earlier})
    return timings


def beside_others(devices: tuple[str, ...]) -> str | None:
    """Return what to do about other work on the cores that train networks, as text; None where there is little.

    Threads of a job wait for one another at every layer, and so for a core that another process has
    (docs/decisions/0103).
    """
    cores, threads = usable_cores(), usable_threads()
    busy = 0.0 if threads == 1 or is_cuda(devices[0]) else busy_cores()
    free = max(1, round(cores - busy))
    if free >= threads:
        return None
    return (
        f"Other work keeps {busy:.1f} of {cores} cores busy. A job with {threads} threads would wait for them at "
        f"every layer, and may take several times as long: `OMP_NUM_THREADS={free}` before the command is faster here. "
        "Times are foreseen for the machine as it is now."
    )


def expected_timings(run: Run, design: Design | None = None) -> Timings:
    """Return the seconds of ``design``: the timed network's, by their multiply-accumulates and the run's own pace.

    The network of a training without a search is timed itself, else one in the middle of the space.
    """
    config = run.config
    given = first_design(run.folder.final) if config.kind == "training" else None
    timed = given or middle_network(config.space, run.width)
    timings = measured_timings(run, config.devices, timed, timed_recipe(config))
    if run.slots.elsewhere:  # a job has the cores that it was given there
        timings = replace(timings, alone=1.0)
    factor = _slowness(run, timed, timings, design)
    if design is not None and design != timed:
        factor *= run.cost(design).macs / run.cost(timed).macs
    return timings.times(factor)


def paced(run: Run, design: Design) -> bool:
    """Return true if a training of this very network has told its pace, on the machine as it is."""
    told = (_told(read_job(folder)) for folder in _here(run))
    return any(trained == design for trained, _ in filter(None, told))


def _own_trainings(run: Run) -> list[Path]:
    """The folders of the trainings that tell the run's own pace."""
    places = (*run.folder.coarse.glob("[0-9]*"), run.folder.race_chosen, run.folder.measured)
    return [folder for folder in places if folder.exists()]


def _set_aside(measured: Path) -> None:
    """Keep the measured steps of another machine for what they cost; they are to be measured on this one."""
    if measured.exists():
        measured.rename(measured.with_name(f"{measured.name}-{len([*measured.parent.glob(f'{measured.name}-*')])}"))


def _here(run: Run) -> list[Path]:
    """Those of them that were made since steps were timed on this machine, with this number of threads."""
    earlier = read_json(run.folder.timings).get("earlier", []) if run.folder.timings.exists() else []
    return [folder for folder in _own_trainings(run) if folder.name not in earlier]


def _told(job: JobRecord) -> tuple[Design, Recipe] | None:
    """The network and the recipe of a training that has told its pace: to its end, or for more than a beginning."""
    payload, enough = read_payload(job.folder), job.done or job.curve.done >= TELLING
    if not enough or not job.curve.done or not job.training_seconds or "design" not in payload:
        return None
    return design_from_json(payload["design"]), Recipe.model_validate(payload["recipe"])


def _slowness(run: Run, timed: Design, timings: Timings, design: Design | None) -> float:
    """The length of the run's own trainings in parts of what was timed; 1 before there are any on this machine.

    Of those of ``design``, where there are any: how much time a multiply-accumulate takes depends on the operations.
    """
    macs, jobs = run.cost(timed).macs, [read_job(folder) for folder in _here(run)]
    known = [(told[0], _of_timed(run, job, *told, timings, macs)) for job in jobs if (told := _told(job))]
    own = [found for trained, found in known if trained == design]
    return median(own or [found for _, found in known] or [1.0])


def _of_timed(run: Run, job: JobRecord, design: Design, recipe: Recipe, timings: Timings, macs: int) -> float:
    """The seconds of a training of ``design`` in parts of those that were to be expected."""
    devices = len(run.config.devices)
    jobs = devices if job.folder.parent == run.folder.coarse else _beside(run, job)
    expected = timings.beside(jobs, devices)
    patch = expected.patch * run.cost(design).macs / macs + expected.augmenting(recipe)
    return job.training_seconds / (job.curve.done * recipe.batch_size * patch)


def _beside(run: Run, job: JobRecord) -> int:
    """The jobs of the stage that has left a training of another than the coarse stage."""
    raced = PlanChoice.load(run.folder.choice).race if job.folder == run.folder.race_chosen else None
    return len(raced or run.final_folds)
