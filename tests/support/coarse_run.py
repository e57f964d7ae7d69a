"""Coarse stages in miniature: a prepared run on phantoms, and an executor whose candidates' Dice are known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from fine_run import phantoms

from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.planning.request import request_for
from c2fnas.runs.run import Run
from c2fnas.stages.preparation import prepare

Dice = Callable[[Job], float | None]
COARSE = {"clusters": 4, "per_cluster": 1, "evaluations": 8, "recipe": {"name": "modern", "iterations": 8}}


def prepared_run(folder: Path, dataset: Path | None = None, **coarse: Any) -> Run:
    """A run with ``coarse`` settings, prepared but not begun."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {"name": "modern", "iterations": 2}
    budget = folder / "budget.yaml"
    budget.write_text(
        yaml.safe_dump(
            {
                "plan": {"style": "planned", "spacing": [2, 2, 2.5]},
                "width": 0.0625,
                "hours": None,
                "coarse": COARSE | coarse,
                "fine": {"candidates": 2, "recipe": recipe},
                "deployment": {"folds": "last", "recipe": recipe},
            }
        )
    )
    run = Run(folder / "run")
    return prepare(run, dataset or phantoms(folder), request_for(run.folder, budget=str(budget), devices=("cpu",)))


class Oracle(Executor):
    """Answers jobs at once, in order of submission, with the Dice that a function has for them (None: a failure).

    Keeps the jobs it has worked on. Its driver dies (by an exception) when it asks for an answer after ``dies_after``;
    answers given are found again in the jobs' folders, as real ones are.
    """

    def __init__(self, dice: Dice, *, devices: int = 1, dies_after: int | None = None) -> None:
        self.dice, self.devices, self.dies_after = dice, devices, dies_after
        self.jobs: list[Job] = []
        self._running: list[Job] = []

    @property
    def idle(self) -> int:
        return self.devices - len(self._running)

    @property
    def running(self) -> tuple[Job, ...]:
        return tuple(self._running)

    def submit(self, job: Job) -> None:
        self._running.append(job)

    def wait(self, timeout: float | None = None) -> Outcome | None:
        job = self._running.pop(0)
        kept = job.folder / f"{job.digest()}.json"
        if kept.exists():
            return Outcome(job.id, json.loads(kept.read_text()), None, "done", 1.0, "oracle")
        if self.dies_after is not None and len(self.jobs) >= self.dies_after:
            raise KeyboardInterrupt
        self.jobs.append(job)
        dice = self.dice(job)
        if dice is None:
            return Outcome(job.id, None, "TrainingFailed: the loss is not finite", "failed", 1.0, "oracle")
        value = {"dice": dice, "per_class": {"organ": dice}}
        job.folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(value))
        return Outcome(job.id, value, None, "done", 1.0, "oracle")

    def close(self) -> None:
        self._running.clear()
