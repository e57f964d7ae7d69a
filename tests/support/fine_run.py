"""A prepared run whose coarse stage is taken as done, with a fine stage of a few seconds."""

from pathlib import Path

import yaml

from c2fnas.data.phantoms import write_phantoms
from c2fnas.execution import InlineExecutor
from c2fnas.planning.request import request_for
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Run
from c2fnas.space.topology import Topology
from c2fnas.stages.preparation import prepare

TOPOLOGY = Topology((0, 1, 1, 2, 2, 3, 3, 2, 1, 0, 0, 0))
FINE = {"candidates": 12, "rungs": 2, "audit": 4, "recipe": {"name": "modern", "iterations": 3}}


class Listener(Silent):
    """Remembers what was said and started."""

    def __init__(self) -> None:
        self.said, self.stages = list[str](), list[str]()

    def say(self, text: str) -> None:
        self.said.append(text)

    def start(self, stage: str, total: float) -> None:
        self.stages.append(stage)


def prepared_run(folder: Path, dataset: Path | None = None, **fine: object) -> Run:
    """A run of ``fine`` settings on phantoms, prepared but not begun."""
    budget = folder / "budget.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {"name": "modern", "iterations": 2}
    budget.write_text(
        yaml.safe_dump(
            {
                "plan": {"style": "planned", "spacing": [2, 2, 2.5]},
                "width": 0.0625,
                "hours": None,
                "coarse": {"clusters": 2, "per_cluster": 1, "evaluations": 2, "recipe": recipe},
                "fine": FINE | fine,
                "deployment": {"folds": "last", "recipe": recipe},
            }
        )
    )
    run = Run(folder / "run")
    return prepare(run, dataset or phantoms(folder), request_for(run.folder, budget=str(budget), devices=("cpu",)))


def phantoms(folder: Path) -> Path:
    """Fifteen cases: three of them validate."""
    return write_phantoms(folder / "Task00", cases=15, test_cases=0)


def inline() -> InlineExecutor:
    return InlineExecutor("cpu")
