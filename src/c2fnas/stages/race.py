"""The race between plans that are close: one topology trained on each for an equal time, whole volumes decide."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from c2fnas.cores import usable_cores
from c2fnas.data.cache import prepare_cases
from c2fnas.data.dataset import Dataset
from c2fnas.data.layouts import read_dataset
from c2fnas.data.plan import save_plan
from c2fnas.execution.job import Job
from c2fnas.files import read_json, write_json
from c2fnas.networks.designs import Design
from c2fnas.planning.budget import START_SECONDS, TO_COMPARE
from c2fnas.planning.choice import Candidate
from c2fnas.planning.request import request_for
from c2fnas.planning.schedule import forecast_of
from c2fnas.planning.timings import middle_network
from c2fnas.runs.freeze import begun_stages
from c2fnas.runs.run import Run
from c2fnas.stages.preparation import prepare
from c2fnas.stages.training_jobs import TrainingSpec, failure_of, run_all, training_job

STAGE = "race"
SHARE = 0.1
"""The most of a budget that a race takes, the preparation of cases for the other plans included."""
FOR_CASES = 0.25
"""The part of it that is kept for this preparation and for scoring."""
CASES = 8
"""Validation cases that score an entrant."""


def entrants_of(run: Run) -> list[Candidate]:
    """Return the plans to race, the run's own first; none where the choice is clear, made, or the user's.

    A race too short for trainings that can be told apart says nothing, and is left out.
    """
    hours = run.config.hours
    if hours is None or not run.folder.choice.exists() or begun_stages(run.folder):
        return []
    choice = read_json(run.folder.choice)
    entrants = [Candidate.from_json(each) for each in choice["close"]]
    if "race" in choice or not entrants or entrants[0].plan != run.plan:
        return []
    while len(entrants) > 1 and _seconds(hours, len(entrants)) < max(_least(run, each) for each in entrants):
        entrants.pop()
    return entrants if len(entrants) > 1 else []


def race_seconds(run: Run) -> float:
    """Return the seconds that the race before the run will take at most; 0 without one."""
    return SHARE * 3600 * (run.config.hours or 0) if entrants_of(run) else 0.0


def race_plans(run: Run, dataset: Path, design: Design | None = None) -> Run:
    """Race the plans that are close, if there are any, and return the run with the best one.

    Resumes: an entrant that is trained is not trained again.

    Args:
        run: prepared by the plan that is expected to be the best; its executor runs the trainings.
        dataset: whose cases are prepared for the other plans.
        design: the network that is trained; by default one in the middle of the space.
    """
    entrants = entrants_of(run)
    if not entrants:
        return run
    assert run.config.hours is not None
    data = read_dataset(dataset).with_spacing(run.config.stated_spacing).sound(dataset)
    tracks = [_Track(run, number, each) for number, each in enumerate(entrants)]
    for track in tracks[1:]:
        track.prepare(data)
    design = design or middle_network(run.config.space, run.width)
    seconds = _seconds(run.config.hours, len(entrants))
    outcomes = run_all(run, STAGE, [track.job(design, seconds) for track in tracks])
    dice = [-1.0 if failure_of(each) else (each.value or {})["dice"] for each in outcomes]
    best = tracks[max(range(len(tracks)), key=lambda number: dice[number])]
    for track, found in zip(tracks, dice, strict=True):
        run.reporter.say(f"Race: {track.entrant.text}: Dice {'–' if found < 0 else f'{found:.4f}'}.")
    if _finish(run, tracks, best, dice):
        run = prepare(run.using(), dataset, request_for(run.folder))
    run.reporter.say(forecast_of(run))
    return run


@dataclass(frozen=True)
class _Track:
    """An entrant and the folder that it is trained in; the first one's is the run's own."""

    run: Run
    number: int
    entrant: Candidate

    @property
    def own(self) -> Run:
        return self.run if self.number == 0 else Run(self.run.folder.race / f"{self.number}")

    def prepare(self, data: Dataset) -> None:
        """Make a run folder for the plan, with the cases prepared by it."""
        own, plan = self.own, self.entrant.plan
        own.folder.root.mkdir(parents=True, exist_ok=True)
        for name in ("folds", "fingerprint"):
            shutil.copy2(getattr(self.run.folder, name), getattr(own.folder, name))
        save_plan(plan, own.folder.plan)
        self.run.config.save(own.folder.config)
        known = {case for fold in self.run.folds for case in (*fold.training, *fold.validation)}
        cases = [case for case in data.training if case.id in known]
        stage = f"prepare cases for plan {self.number + 1}"
        self.run.reporter.start(stage, len(cases))
        prepare_cases(
            cases,
            plan,
            own.folder.cache,
            workers=usable_cores(),
            progress=lambda done, total: self.run.reporter.update(stage, done),
        )
        self.run.reporter.finish(stage)

    @property
    def folder(self) -> Path:
        return self.own.folder.race / "training"

    def job(self, design: Design, seconds: float) -> Job:
        recipe = self.run.config.deployment.recipe
        iterations = max(1, int((seconds - START_SECONDS) / (recipe.batch_size * self.entrant.patch_seconds)))
        spec = TrainingSpec(
            design, recipe.with_iterations(iterations), seed=self.run.config.seed, cases=CASES, keep="nothing"
        )
        return training_job(self.own, f"plan {self.number + 1}", self.folder, spec)


def _finish(run: Run, tracks: list[_Track], best: _Track, dice: list[float]) -> bool:
    """Keep the winner's plan, cases and training, write the figures down, and delete the rest."""
    figures = [
        {"plan": track.entrant.text, "dice": None if found < 0 else round(found, 4)}
        for track, found in zip(tracks, dice, strict=True)
    ]
    other = best.number > 0
    if other:
        save_plan(best.entrant.plan, run.folder.plan)
        for kept, place in ((best.own.folder.cache, run.folder.cache), (best.folder, run.folder.race_chosen)):
            shutil.rmtree(place, ignore_errors=True)
            kept.rename(place)
    else:
        best.folder.rename(run.folder.race_chosen)
    write_json(run.folder.choice, {**read_json(run.folder.choice), "race": figures})
    for left in (tracks[0].folder, *(track.own.folder.root for track in tracks[1:])):
        shutil.rmtree(left, ignore_errors=True)
    return other


def _seconds(hours: float, entrants: int) -> float:
    """The time that each entrant trains for."""
    return SHARE * (1 - FOR_CASES) * 3600 * hours / entrants


def _least(run: Run, entrant: Candidate) -> float:
    """The shortest training by which plans can be told apart."""
    views = max(TO_COMPARE.views, TO_COMPARE.passes * len(run.search_split.training))
    return START_SECONDS + views * entrant.view_seconds
