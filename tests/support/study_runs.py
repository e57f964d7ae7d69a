"""Studies in miniature: trainings that are left out, runs that have found something, a searched run to be judged."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fine_run import inline

from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.metrics import CaseScores, Evaluation, summarise
from c2fnas.files import append_json_line, write_json
from c2fnas.planning.request import request_for
from c2fnas.runs.records.trained import Trained
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation
from c2fnas.stages import training
from c2fnas.stages.deployment import deploy
from c2fnas.stages.preparation import prepare
from c2fnas.training.metrics_log import METRICS

COARSE = Architecture.from_text("0:3D 1:3D 0:3D @0.0625")
FINE = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")
OTHER = Architecture.from_text("0:2D 0:2D 0:3D @0.5")
BUDGET = """
plan: {style: planned, spacing: [2, 2, 2.5]}
width: 0.03125
hours: null
coarse: {clusters: 4, per_cluster: 1, evaluations: 6, recipe: {name: modern, iterations: 2}}
fine: {candidates: 2, recipe: {name: modern, iterations: 2}}
deployment: {folds: last, recipe: {name: modern, iterations: 2}}
references: 2
"""
SCORES = (("initial", 0.9), ("random", 0.4), ("best", 0.8), ("random", 0.6), ("random", 0.5), ("random", None))


@dataclass
class QuickWidths:
    """Training and evaluation left out: a width's Dice is a quarter of the width, with a seed 0.01 more for each."""

    trained: list[tuple[float, tuple[int, int, int]]] = field(default_factory=list)
    failing: set[float] = field(default_factory=set)
    failing_seeds: set[tuple[float, int]] = field(default_factory=set)
    stopping: set[float] = field(default_factory=set)
    unscored: set[float] = field(default_factory=set)
    seed: int = 0

    def train(self, run, network, ids, recipe, folder, device, **options) -> None:
        """Notes the width and its patch; leaves the metrics' last line."""
        width, self.seed = network.architecture.width, run.config.seed
        if width in self.failing or (width, self.seed) in self.failing_seeds:
            raise ArithmeticError("the loss is nan")
        if width in self.stopping:
            raise Interrupted("stopped")
        append_json_line(folder / METRICS, {"iteration": recipe.iterations, "iterations": recipe.iterations})
        self.trained.append((width, run.plan.patch_size))

    def evaluate(self, network, cases, window, **options) -> Evaluation:
        """Of one case."""
        if network.architecture.width in self.unscored:
            raise UserError("no case shows an organ")
        dice = network.architecture.width / 4 + 0.01 * self.seed
        return summarise([CaseScores("a", {"organ": dice, "lesion": None})])

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of training and evaluation."""
        monkeypatch.setattr(training, "train_on", self.train)
        monkeypatch.setattr(training, "evaluate_network", self.evaluate)


@dataclass
class QuickFolds:
    """Training left out: Dice is 0.5, 0.01 more for each cell that is not 3D, and 0.1 more for each fold."""

    trained: list[tuple[str, int]] = field(default_factory=list)
    failing: set[tuple[str, int]] = field(default_factory=set)
    stopping: set[tuple[str, int]] = field(default_factory=set)
    unscored: set[tuple[str, int]] = field(default_factory=set)

    def train_and_score(self, run, spec, folder, device, *, divisor=1):
        """Leaves an evaluation; notes what was asked."""
        asked = spec.design.to_text(), spec.fold
        if asked in self.failing:
            raise ArithmeticError("the loss is nan")
        if asked in self.stopping:
            raise Interrupted("stopped")
        self.trained.append(asked)
        if asked in self.unscored:
            return Trained(None, unscored="Dice not measurable: no case shows an organ")
        dice = 0.5 + 0.01 * sum(str(each) != "3D" for each in spec.design.operations) + 0.1 * spec.fold
        cases = run.folds[spec.fold].validation
        evaluation = summarise([CaseScores(case, {"organ": dice, "lesion": None}) for case in cases])
        write_json(folder / "evaluation.json", evaluation.to_json())
        return Trained(evaluation.mean, evaluation.per_class)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the training job."""
        monkeypatch.setattr(training, "train_and_score", self.train_and_score)


def found(run: Path, coarse: Architecture = COARSE, fine: Architecture | None = FINE) -> Path:
    write_json(run / "coarse/architecture.json", coarse.to_json())
    if fine is not None:
        write_json(run / "fine/architecture.json", fine.to_json())
    return run


def searched_run(folder: Path) -> Run:
    """A run whose search is taken as done, with its final network trained."""
    budget = folder / "budget.yaml"
    budget.write_text(BUDGET)
    dataset, run = write_phantoms(folder / "Task00", cases=5, test_cases=0), Run(folder / "run")
    prepare(run, dataset, request_for(run.folder, budget=str(budget), devices=("cpu",)))
    topologies = run.config.space.topologies()[::150]
    ledger = run.ledger("coarse")
    for (branch, score), topology in zip(SCORES, topologies, strict=False):
        number = ledger.start(Architecture.uniform(topology, width=run.width), {"branch": branch})
        _ = ledger.fail(number, "broken") if score is None else ledger.succeed(number, score)
    found = Architecture(topologies[0], (Operation.P3D,) * 12, run.width)
    write_json(run.folder.fine / "architecture.json", found.to_json())
    deploy(run.using(inline()), found, run.final_folds)
    return run
