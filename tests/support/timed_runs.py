"""Runs whose time is made for a test: a clock, and an executor whose steps are slower than first timed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from c2fnas.evaluation.metrics import CaseScores, summarise
from c2fnas.execution.call import Report, finished, write_report
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.execution.worker import JOB_FILE
from c2fnas.files import append_json_line, write_json
from c2fnas.networks.designs import Design, design_from_json, read_design
from c2fnas.planning import run_timings, schedule
from c2fnas.planning.budget import network_seconds, pair_seconds
from c2fnas.planning.configuration import count_work
from c2fnas.planning.middle import middle_network
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Run
from c2fnas.runs.timing.timings import Timings
from c2fnas.training.metrics_log import METRICS
from c2fnas.training.recipe import Recipe

TIMED = Timings(patch=0.05, window=0.02, augmentation=0.02)
PREPARATION = 20.0


class Clock:
    """Time goes on only where work is done."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Worker(Executor):
    """Answers jobs as real ones would be answered, and takes ``slowness`` times as long as was ``timed``.

    Where a stage has fewer jobs than there are devices, each takes less: they share the cores.
    """

    def __init__(self, run: Run, clock: Clock, slowness: float, devices: int = 1, timed: Timings = TIMED) -> None:
        self.run, self.clock, self.slowness, self.devices, self.timed = run, clock, slowness, devices, timed
        self.waiting = list[tuple[float, Job]]()  # with the time of its end
        self.best = "1"  # entrant of a race

    @property
    def idle(self) -> int:
        return self.devices - len(self.waiting)

    @property
    def running(self) -> tuple[Job, ...]:
        return tuple(job for _, job in self.waiting)

    def submit(self, job: Job) -> None:
        self.waiting.append((self.clock.now + self._done(job), job))

    def close(self) -> None:
        self.waiting.clear()

    def wait(self, timeout: float | None = None) -> Outcome | None:
        end, job = self.waiting.pop(min(range(len(self.waiting)), key=lambda number: self.waiting[number][0]))
        self.clock.now = end
        report = finished(job)
        assert report is not None
        return report.outcome(job, "cpu")

    def _done(self, job: Job) -> float:
        """Do a job at once, and return the seconds that it takes."""
        if finished(job):
            return 0.0
        job.folder.mkdir(parents=True, exist_ok=True)
        write_json(job.folder / JOB_FILE, {"payload": job.payload})
        value, seconds = getattr(self, job.target.partition(":")[2])(job.payload, job.folder)
        write_report(job, Report("done", value, None, seconds))
        return float(seconds)

    def _timings(self, macs: float) -> Timings:
        run = Run(self.run.folder.root)
        whole = run.cost(self._timed_design(run)).macs
        return self.timed.times(self.slowness * macs / whole).beside(self.stage_jobs, self.devices)

    def _timed_design(self, run: Run) -> Design:
        if run.config.kind == "training":
            return read_design(run.folder.final)
        return middle_network(run.config.space, run.width)

    @property
    def _work(self) -> Any:
        return count_work(Run(self.run.folder.root).config, schedule.preparation_of(Run(self.run.folder.root)))

    def run_spec(self, payload: dict[str, Any], folder: Path) -> tuple[dict[str, Any], float]:
        own = Run(folder / payload["run"])  # an entrant of a race has its own, with another plan
        design, recipe = design_from_json(payload["design"]), Recipe.model_validate(payload["recipe"])
        timings, done = self._timings(own.cost(design).macs), payload["until"] or recipe.iterations
        stage = "deployment" if payload["mirror"] else "coarse"
        length = recipe.with_iterations(done).model_copy(update={"mirror": recipe.mirror})
        seconds = network_seconds(length, timings, self._work, stage)
        patch = timings.patch + (timings.augmentation if recipe.warped else 0)
        step = patch * recipe.batch_size
        append_json_line(folder / METRICS, {"iteration": done, "loss": 1.0, "seconds_per_iteration": step})
        dice = 0.5 + 0.3 * np.random.default_rng(len(str(payload["design"]))).random()
        dice = 0.9 if own.folder.root.resolve().name == self.best else dice
        scores = [CaseScores(case, {"organ": dice}) for case in self.run.search_split.validation]
        write_json(folder / "evaluation.json", summarise(scores).to_json())
        (folder / "model").mkdir(exist_ok=True)
        return {"dice": dice, "per_class": {"organ": dice}}, seconds

    def train_supernet_job(self, payload: dict[str, Any], folder: Path) -> tuple[dict[str, Any], float]:
        run = Run(self.run.folder.root)
        recipe = run.config.fine.recipe
        timings = self._timings(run.cost(middle_network(run.config.space, run.width)).macs)
        return {"sampling": [[1, 1, 1]] * 12}, network_seconds(recipe, timings, self._work, "supernet")

    def rank_paths(self, payload: dict[str, Any], folder: Path) -> tuple[dict[str, Any], float]:
        run = Run(self.run.folder.root)
        timings = self._timings(run.cost(middle_network(run.config.space, run.width)).macs)
        pairs, classes = len(payload["paths"]) * len(payload["cases"]), run.classes - 1
        rows = [[[0.5] * classes for _ in payload["cases"]] for _ in payload["paths"]]
        return {"rows": rows}, pairs * pair_seconds(timings, self._work)

    def measure_latency(self, payload: dict[str, Any], folder: Path) -> tuple[dict[str, Any], float]:
        return {"milliseconds": [1.0] * len(payload["paths"])}, 1.0


class Sayings(Silent):
    """Keeps what is said; may stop the run when a stage begins."""

    def __init__(self, run: Path | None = None, stage: str = "") -> None:
        self.texts, self.run, self.stage = list[str](), run, stage

    def say(self, text: str) -> None:
        self.texts.append(text)

    def start(self, stage: str, total: float) -> None:
        if self.run and stage == self.stage:
            (self.run / "stop").touch()


def started(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return a clock that goes on by ``PREPARATION`` where steps are timed, each of which is as long as ``TIMED``."""
    clock = Clock()

    def measure(*_: object) -> Timings:
        clock.now += PREPARATION
        return TIMED

    monkeypatch.setattr(run_timings, "measure", measure)
    return clock
