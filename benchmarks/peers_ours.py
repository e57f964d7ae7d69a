"""c2fnas's side of `peers.py`: the command of a user, and its loop with the networks and plans of others."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2fnas.data.folds import Split
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.runs.run import Run
from nnunet_side import timed

ROOT = Path(__file__).resolve().parents[1]
MULTIPLE = 8
"""Sides of a patch that another tool has planned are rounded up to a multiple of it, as c2fnas's network needs."""


@dataclass
class Ours:
    """Trainings of c2fnas for so many minutes, each in a folder of its own.

    Attributes:
        dataset: its folder.
        work: the folder of all run folders.
        minutes: of the budget.
        fold: that is trained and scored.
        device: "cpu" or "cuda".
        group_by: as `c2fnas run` takes it.
        precision: of all its trainings; None leaves it to c2fnas.
    """

    dataset: Path
    work: Path
    minutes: float
    fold: int
    device: str
    group_by: str | None = None
    precision: str | None = None

    def run(self, seed: int, splits: Sequence[Split]) -> tuple[Evaluation, dict[str, Any]]:
        """`c2fnas run`, which plans, and searches where the time pays for it."""
        options: list[object] = ["--set", f"deployment.folds=[{self.fold}]"]
        for part in ("coarse", "fine", "deployment") if self.precision else ():
            options += ["--set", f"{part}.recipe.precision={self.precision}"]
        evaluation, facts = self._called("run", f"c2fnas-{seed}", options, seed, splits)
        found = self.work / f"c2fnas-{seed}" / "final" / "architecture.json"
        return evaluation, facts | {"network": json.loads(found.read_text())}

    def train(
        self, name: str, network: str | dict[str, Any], plan: dict[str, Any], seed: int, splits: Sequence[Split]
    ) -> tuple[Evaluation, dict[str, Any]]:
        """`c2fnas train` with a network by name, or an architecture as JSON, and a spacing and a patch."""
        patch = [-(-side // MULTIPLE) * MULTIPLE for side in plan["patch"]]
        options: list[object] = ["--folds", self.fold]
        if isinstance(network, str):
            options += ["--network", network]
        else:
            self.work.mkdir(parents=True, exist_ok=True)
            (self.work / f"{name}.json").write_text(json.dumps(network))
            options += ["--architecture", self.work / f"{name}.json"]
        options += ["--set", f"plan.spacing={plan['spacing']}", "--set", f"plan.patch_size={patch}"]
        options += ["--precision", self.precision] if self.precision else []
        evaluation, facts = self._called("train", f"{name}-{seed}", options, seed, splits)
        return evaluation, facts | {"network": network}

    def _called(
        self, command: str, name: str, options: Sequence[object], seed: int, splits: Sequence[Split]
    ) -> tuple[Evaluation, dict[str, Any]]:
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)  # of a call that was interrupted: its time would not be known
        grouped = ["--group-by", self.group_by] if self.group_by and command == "run" else []
        grouped = ["--set", f"folds.group_by={self.group_by}"] if self.group_by and command == "train" else grouped
        call = [sys.executable, "-m", "c2fnas", command, self.dataset, folder, "--budget", f"{self.minutes:g}m"]
        call += ["--devices", self.device, "--seed", seed, "--quiet", *grouped, *options]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        spent = timed([str(part) for part in call], environment, self.work / f"{name}.log")
        run = Run.open(folder)
        if [split.validation for split in run.folds] != [split.validation for split in splits]:
            sys.exit(f"{folder}: was divided into other folds than the peers are given.")
        place = run.folder.final_fold(self.fold)
        recipe = run.config.deployment.recipe
        facts = {
            "versions": run.config.versions,
            "spacing": list(run.plan.spacing or ()),
            "patch": list(run.plan.patch_size),
            "batch": recipe.batch_size,
            "precision": recipe.precision,
            "mirror": recipe.mirror,
            "iterations": recipe.iterations,
            "seconds": json.loads((place / "result.json").read_text())["seconds"],
            "whole": spent,
        }
        return Evaluation.from_json(json.loads((place / "evaluation.json").read_text())), facts
