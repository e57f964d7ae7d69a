"""The race between plans that are close: one topology trained on each for an equal time, whole volumes decide."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from c2fnas.cores import usable_cores
from c2fnas.data.cache import disk_needed, prepare_cases
from c2fnas.data.dataset import Dataset
from c2fnas.data.folds import case_ids
from c2fnas.data.layouts import read_dataset
from c2fnas.data.plan import Plan, save_plan
from c2fnas.execution.job import Job
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.planning.budget import CASE_OVERHEAD, START_SECONDS, TO_COMPARE, affordable_iterations
from c2fnas.planning.choice import typical_shape
from c2fnas.planning.forecast import forecast_of
from c2fnas.planning.middle import middle_network
from c2fnas.planning.presets import PartialConfig, complete_recipe
from c2fnas.planning.request import request_for
from c2fnas.planning.run_timings import expected_timings
from c2fnas.runs.freeze import begun_stages
from c2fnas.runs.records.job_record import read_job
from c2fnas.runs.records.plan_choice import PlanChoice, WeighedPlan
from c2fnas.runs.run import Run
from c2fnas.stages.preparation import prepare
from c2fnas.stages.training_jobs import TrainingSpec, failure_of, run_all, trained, training_job
from c2fnas.text import duration, plural
from c2fnas.training.recipe import Recipe

STAGE = "race"
SHARE = 0.1
"""The most of a budget that a race takes, the preparation of cases for the other plans and scoring included."""
CASES = 8
"""Validation cases that score an entrant."""


class _TooLong(Exception):
    """The preparation of cases has taken the time of the trainings."""


def entrants_of(run: Run) -> list[WeighedPlan]:
    """Return the plans to race, the run's own first; none where the choice is clear, made, or the user's.

    A race too short for trainings that can be told apart says nothing, and is left out; so is an entrant whose cases
    find no place on the disk. Once a race's trainings have begun, they are what they were.
    """
    folder = run.folder
    if run.config.hours is None or run.config.plan.given:
        return []
    if begun_stages(folder) or folder.coarse.exists():
        return []
    choice = PlanChoice.load(folder.choice)
    entrants = [*choice.close]
    if choice.race is not None or len(entrants) < 2 or entrants[0].plan != run.plan:
        return []
    if choice.iterations is not None:
        return entrants[: len(choice.iterations)]
    while len(entrants) > 1 and not _pays(run, entrants, choice.case_seconds):
        entrants.pop()
    return entrants if len(entrants) > 1 else []


def race_seconds(run: Run) -> float:
    """Return the seconds that the race before the run will take at most; 0 without one."""
    return _share(run) if entrants_of(run) else 0.0


def race_plans(run: Run, dataset: Path) -> Run:
    """Race the plans that are close, if there are any, and return the run with the best one.

    Resumes at any point: an entrant that is trained is not trained again, and a winner that is known gets its place.

    Args:
        run: prepared by the plan that is expected to be the best; its executor runs the trainings.
        dataset: whose cases are prepared for the other plans.
    """
    entrants = entrants_of(run)
    if entrants:
        _race(run, dataset, entrants)
    if _settle(run):
        run = prepare(run.using(), dataset, request_for(run.folder))
    if entrants:
        run.reporter.say(forecast_of(run))
    return run


def _race(run: Run, dataset: Path, entrants: Sequence[WeighedPlan]) -> None:
    """Leave the figures of the race, and the number of the best, in ``planning.json``."""
    tracks = _prepared(run, dataset, entrants)
    if len(tracks) < 2:
        run.reporter.say("No race: preparing the cases for another plan takes too much of the time.")
        return _note(run, race=())
    jobs = [track.job(count) for track, count in _lengths(run, tracks)]
    told = f"Race: {plural(len(jobs), 'training')}, with what was prepared at most {duration(_share(run))}."
    outcomes = run_all(run, STAGE, jobs, forecast=told)
    dice = [-1.0 if failure_of(each) else trained(each).score for each in outcomes]
    for track, found in zip(tracks, dice, strict=True):
        run.reporter.say(f"Race: {track.entrant.text}: Dice {'–' if found < 0 else f'{found:.4f}'}.")
    figures = tuple(
        {"plan": track.entrant.text, "dice": None if found < 0 else round(found, 4)}
        for track, found in zip(tracks, dice, strict=True)
    )
    best = max(range(len(dice)), key=lambda number: dice[number])
    lost = sum(read_job(track.folder).seconds for track in tracks if track.number != best)
    _note(run, race=figures, best=best, lost_seconds=round(lost, 1))


@dataclass(frozen=True)
class _Track:
    """An entrant and the folder that it is trained in; the first one's is the run's own."""

    run: Run
    number: int
    entrant: WeighedPlan

    @cached_property
    def own(self) -> Run:
        return self.run if self.number == 0 else Run(self.run.folder.race / f"{self.number}")

    @cached_property
    def _part(self) -> PartialConfig:
        return request_for(self.run.folder).part["deployment"]["recipe"]

    def prepare(self, data: Dataset, until: float) -> None:
        """Make a run folder for the plan, with the cases prepared by it; ``until`` is the active second to stop at."""
        own, plan, reporter = self.own, self.entrant.plan, self.run.reporter
        own.folder.root.mkdir(parents=True, exist_ok=True)
        for name in ("folds", "fingerprint"):
            shutil.copy2(getattr(self.run.folder, name), getattr(own.folder, name))
        save_plan(plan, own.folder.plan)
        self.run.config.save(own.folder.config)
        known = case_ids(self.run.folds)
        cases = [case for case in data.training if case.id in known]
        stage = f"prepare cases for plan {self.number + 1}"

        def progress(done: int, total: int) -> None:
            reporter.update(stage, done)
            self.run.refuse_stop()
            if self.run.time.seconds > until:
                raise _TooLong

        reporter.start(stage, len(cases))
        hashes = self.run.fingerprint.hashes
        prepare_cases(cases, plan, own.folder.cache, workers=usable_cores(), progress=progress, hashes=hashes)
        reporter.finish(stage)

    @property
    def folder(self) -> Path:
        return self.own.folder.race / "training"

    def recipe(self, iterations: int) -> Recipe:
        """The final network's recipe at this length, which may be too short for what that one has."""
        length, precision = {"iterations": iterations}, self.run.config.deployment.recipe.precision
        cases = len(self.run.search_split.training)
        return complete_recipe(self._part | length, "deployment", self.entrant.plan, precision, cases)

    def iterations(self, seconds: float, pace: float, augmentation: float) -> int:
        """The iterations that the seconds pay, those of augmenting a patch counted where the recipe does it."""

        def cost(iterations: int) -> float:
            recipe = self.recipe(iterations)
            patch = pace * self.entrant.patch_seconds + (augmentation if recipe.warped else 0)
            return START_SECONDS + iterations * recipe.batch_size * patch

        return affordable_iterations(seconds, cost)

    def job(self, iterations: int) -> Job:
        design = middle_network(self.run.config.space, self.run.width)
        spec = TrainingSpec(design, self.recipe(iterations), seed=self.run.config.seed, cases=CASES, keep="nothing")
        return training_job(self.own, f"plan {self.number + 1}", self.folder, spec)


def _prepared(run: Run, dataset: Path, entrants: Sequence[WeighedPlan]) -> list[_Track]:
    """The entrants whose cases are prepared while there is time for their trainings; those after them are left out."""
    tracks = [_Track(run, number, each) for number, each in enumerate(entrants)]
    choice = PlanChoice.load(run.folder.choice)
    if choice.iterations is not None:
        return tracks
    data = read_dataset(dataset).with_spacing(run.config.stated_spacing).sound(dataset)
    begun = run.time.seconds if choice.begun is None else choice.begun
    _note(run, begun=begun)
    for count, track in enumerate(tracks[1:], start=1):
        try:
            with run.time.preparing():
                track.prepare(data, begun + _share(run) - _trainings(run, entrants[: count + 1]))
        except _TooLong:
            run.reporter.say(f"Left out of the race: {track.entrant.text}. Preparing its cases takes too long.")
            return tracks[:count]
    return tracks


def _lengths(run: Run, tracks: Sequence[_Track]) -> list[tuple[_Track, int]]:
    """The tracks with their iterations, for an equal share of the time that is left; written down when first asked."""
    choice = PlanChoice.load(run.folder.choice)
    lengths = choice.iterations
    if lengths is None:
        assert choice.begun is not None
        entrants = [track.entrant for track in tracks]
        left = choice.begun + _share(run) - run.time.seconds - sum(_scoring(run, each) for each in entrants)
        augmentation, pace = expected_timings(run).augmentation / prod(run.plan.patch_size), _pace(run, entrants)
        lengths = tuple(
            track.iterations(left / len(tracks), pace, augmentation * prod(track.entrant.plan.patch_size))
            for track in tracks
        )
        _note(run, iterations=lengths)
    return list(zip(tracks, lengths, strict=True))


def _settle(run: Run) -> bool:
    """Give the run the winner's plan, cases and training where there is one, and delete the rest.

    Called again after a driver has died in it, it finishes. Returns true if the plan may be another one than before.
    """
    folder, choice = run.folder, PlanChoice.load(run.folder.choice)
    winner = _winner(run, choice)
    if winner is not None:
        own = _Track(run, winner, choice.close[winner])
        if winner > 0:
            save_plan(own.entrant.plan, folder.plan)
            _move(own.own.folder.cache, folder.cache)
        _move(own.folder, folder.race_chosen)
    for left in folder.race.glob("*"):
        if left not in (folder.race_chosen, folder.measured):
            shutil.rmtree(left, ignore_errors=True)
    if choice.best is not None:
        _note(run, best=None)
    return bool(winner)


def _winner(run: Run, choice: PlanChoice) -> int | None:
    """The number of the winner that has no place yet; None without one, and where the plan was edited since."""
    if choice.best is None or begun_stages(run.folder):
        return None
    return choice.best if run.plan in (choice.close[0].plan, choice.close[choice.best].plan) else None


def _move(source: Path, place: Path) -> None:
    if source.exists():
        shutil.rmtree(place, ignore_errors=True)
        source.rename(place)


def _note(run: Run, **values: Any) -> None:
    replace(PlanChoice.load(run.folder.choice), **values).save(run.folder.choice)


def _share(run: Run) -> float:
    """The seconds of a race."""
    return SHARE * (run.config.seconds or 0.0)


def _pays(run: Run, entrants: Sequence[WeighedPlan], case_seconds: float) -> bool:
    """True if the time pays for the race, and the disk holds the others' cases.

    A case takes as long as it took for the run's own plan, or longer where the grid is finer.
    """
    known, others = case_ids(run.folds), [each.plan for each in entrants[1:]]
    rate = len(known) * case_seconds
    preparing = sum(rate * max(1.0, _voxel(run.plan) / _voxel(plan)) for plan in others)
    cases = [case for case in run.fingerprint.cases if case.id in known]
    folders = [run.folder.race / f"{number}" / run.folder.cache.name for number in range(1, len(entrants))]
    needed = sum(disk_needed(cases, plan, folder)[1] for plan, folder in zip(others, folders, strict=True))
    fits = needed <= shutil.disk_usage(run.folder.root).free
    return fits and preparing + _trainings(run, entrants) <= _share(run)


def _voxel(plan: Plan) -> float:
    return prod(plan.spacing or (1.0,))


def _trainings(run: Run, entrants: Sequence[WeighedPlan]) -> float:
    """The seconds of the shortest trainings by which plans can be told apart, of equal length, with their scoring."""
    views = max(TO_COMPARE.views, TO_COMPARE.passes * len(run.search_split.training))
    one = START_SECONDS + views * _pace(run, entrants) * max(each.view_seconds for each in entrants)
    return len(entrants) * one + sum(_scoring(run, each) for each in entrants)


def _pace(run: Run, entrants: Sequence[WeighedPlan]) -> float:
    """The seconds of a step as timed last, in parts of those that plans were weighed with: a machine may be busier."""
    return expected_timings(run).patch / entrants[0].patch_seconds


def _scoring(run: Run, entrant: WeighedPlan) -> float:
    """The seconds of scoring an entrant; a window's are those of the run's patch, by voxel."""
    plan, cases = entrant.plan, min(CASES, len(run.search_split.validation))
    i, j, k = (max(1, round(side)) for side in typical_shape(plan, run.fingerprint))
    windows = len(SlidingWindow(patch_size=plan.patch_size, stride=plan.stride).windows((i, j, k)))
    window = expected_timings(run).window * prod(plan.patch_size) / prod(run.plan.patch_size)
    return cases * (windows * window + CASE_OVERHEAD)
