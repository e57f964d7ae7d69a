"""c2fnas's side of `peers.py`: the command of a user, and its loop with the networks and plans of others."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from pathlib import Path
from typing import Any

from c2fnas.data.folds import Split
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.files import read_json, write_json
from c2fnas.networks.baselines import Baseline
from c2fnas.networks.baselines.dynunet import planned_levels
from c2fnas.runs.records.job_record import read_job
from c2fnas.runs.run import Run
from nnunet_side import timed
from peers_conditions import ROOT

MULTIPLE = 8
"""Sides of a patch that another tool has planned are rounded up to a multiple of it, as c2fnas plans its own."""
PARTS = ("coarse", "fine", "deployment")


@dataclass(frozen=True)
class Ours:
    """A training of c2fnas for so many minutes, in a folder of its own.

    Attributes:
        dataset: its folder.
        work: the folder of the run folder, the log and the record of the call.
        minutes: of the budget.
        fold: that is trained and scored.
        device: "cpu" or "cuda".
        folds: the file of all folds, as nnU-Net writes it.
        group_by: as `c2fnas run` takes it.
        precision: of all its trainings; None leaves it to c2fnas.
    """

    dataset: Path
    work: Path
    minutes: float
    fold: int
    device: str
    folds: Path
    group_by: str | None = None
    precision: str | None = None

    def run(self, seed: int, splits: Sequence[Split]) -> tuple[Evaluation, dict[str, Any]]:
        """`c2fnas run`, which plans, and searches where the time pays for it."""
        options = ["--set", f"deployment.folds=[{self.fold}]"]
        for part in PARTS if self.precision else ():
            options += ["--set", f"{part}.recipe.precision={self.precision}"]
        evaluation, facts = self._trained("run", seed, options, splits)
        return evaluation, facts | {"network": read_json(self._folder / "final" / "architecture.json")}

    def train(
        self, network: str | dict[str, Any], plan: Mapping[str, Any], seed: int, splits: Sequence[Split]
    ) -> tuple[Evaluation, dict[str, Any]]:
        """`c2fnas train` with a network by name or as JSON, and with the spacing and the patch of a plan."""
        options = ["--folds", str(self.fold), *self._named(network), *plan_options(plan, network)]
        options += ["--precision", self.precision] if self.precision else []
        evaluation, facts = self._trained("train", seed, options, splits)
        return evaluation, facts | {"network": network}

    def call(self, command: str, seed: int, options: Sequence[str]) -> list[str]:
        """Return the words of a call of c2fnas, with the folds that every side is given."""
        chosen = {"folds.by": str(self.folds), "folds.group_by": self.group_by}
        sets = [word for name, each in chosen.items() if each for word in ("--set", f"{name}={json.dumps(each)}")]
        words = [sys.executable, "-m", "c2fnas", command, str(self.dataset), str(self._folder)]
        words += ["--budget", f"{self.minutes:g}m", "--devices", self.device, "--seed", str(seed), "--quiet"]
        return [*words, *sets, *options]

    def spent(self, call: list[str]) -> dict[str, float]:
        """Return the seconds of a call, which is made unless it was finished before; a run cut short starts over."""
        record = self.work / "called.json"
        known = read_json(record) if record.exists() else {}
        if known.get("call") == call and self._scored:
            return dict(known["spent"])
        shutil.rmtree(self._folder, ignore_errors=True)  # of a call that was interrupted: its time is not known
        record.unlink(missing_ok=True)
        spent = timed(call, os.environ | {"PYTHONPATH": str(ROOT / "src")}, self.work / "log.txt")
        write_json(record, {"call": call, "spent": spent})
        return spent

    @property
    def _folder(self) -> Path:
        return self.work / "run"

    @property
    def _scored(self) -> bool:
        """True if the fold was trained to the end and scored."""
        place = self._folder / "final" / f"fold-{self.fold}"
        return read_job(place).done and (place / "evaluation.json").exists()

    def _named(self, network: str | dict[str, Any]) -> list[str]:
        """The options that name a network; an architecture of the search space has no name in its JSON."""
        if isinstance(network, str):
            return ["--network", network]
        file = self.work / "network.json"
        write_json(file, network)
        return ["--network" if "network" in network else "--architecture", str(file)]

    def _trained(
        self, command: str, seed: int, options: Sequence[str], splits: Sequence[Split]
    ) -> tuple[Evaluation, dict[str, Any]]:
        spent = self.spent(self.call(command, seed, options))
        run = Run.open(self._folder)
        if [split.validation for split in run.folds] != [split.validation for split in splits]:
            sys.exit(f"{self._folder}: was divided into other folds than the peers are given.")
        place, recipe = run.folder.final_fold(self.fold), run.config.deployment.recipe
        facts = {
            "versions": run.config.versions,
            "spacing": list(run.plan.spacing or ()),
            "patch": list(run.plan.patch_size),
            "batch": recipe.batch_size,
            "precision": recipe.precision,
            "views": 8 if recipe.mirror else 1,
            "iterations": recipe.iterations,
            "seconds": read_job(place).training_seconds,
            "preparation": {"wall": run.time.preparation},
            "whole": spent,
        }
        return Evaluation.from_json(read_json(place / "evaluation.json")), facts


def planned_dynunet(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return nnU-Net's network for a plan as JSON: with the levels that it names, else those that nnU-Net would plan.

    >>> planned_dynunet({"patch": [16, 16, 4], "spacing": [1.0, 1.0, 4.0]})["levels"]
    [[[3, 3, 1], [1, 1, 1]], [[3, 3, 1], [2, 2, 1]], [[3, 3, 3], [2, 2, 1]]]
    """
    if "levels" in plan:
        return Baseline.from_json({"network": "dynunet", "width": 1.0, "levels": plan["levels"]}).to_json()
    i, j, k = plan["patch"]
    x, y, z = plan["spacing"] or (1.0, 1.0, 1.0)
    return Baseline("dynunet", levels=planned_levels((i, j, k), (x, y, z))).to_json()


def plan_options(plan: Mapping[str, Any], network: str | dict[str, Any]) -> list[str]:
    """Return the options that give a run the spacing and the patch of a plan.

    The sides of the patch are rounded up: to multiples of eight, and of the strides of planned levels.

    >>> plan_options({"spacing": [1, 1, 2], "patch": [72, 40, 14]}, "segresnet")[3]
    'plan.patch_size=[72, 40, 16]'
    """
    levels = isinstance(network, dict) and "levels" in network
    strides = Baseline.from_json(network).stride if levels else (1, 1, 1)
    multiples = [lcm(MULTIPLE, stride) for stride in strides]
    patch = [-(-side // multiple) * multiple for side, multiple in zip(plan["patch"], multiples, strict=True)]
    spacing = ["--set", f"plan.spacing={list(plan['spacing'])}"] if plan["spacing"] else []
    return [*spacing, "--set", f"plan.patch_size={patch}"]
