"""MONAI's sides of `peers.py`: SegResNet and DiNTS that Auto3DSeg makes from its templates, run by this Python."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from c2fnas.data.folds import Split
from nnunet_side import timed
from peers_conditions import templates_revision

TEMPLATES = Path("auto3dseg") / "algorithm_templates"
CLONE = "https://github.com/Project-MONAI/research-contributions"


class Auto3dseg:
    """The template of an algorithm in a work folder of its own.

    Args:
        clone: of Project-MONAI/research-contributions.
        work: the folder.
        device: "cpu" or "cuda".

    Attributes:
        algorithm: the folder of its template.
        needs: packages that its scripts import, and that c2fnas does without.
    """

    algorithm = "segresnet"
    needs: tuple[str, ...] = ("fire",)

    def __init__(self, clone: Path, work: Path, device: str) -> None:
        self.clone, self.work, self.device = clone.resolve(), work, device

    @property
    def templates(self) -> Path:
        """The folder of the templates of all algorithms."""
        return self.clone / TEMPLATES

    def refuse_unready(self) -> None:
        """Stop where the templates, or packages that they need, are not there."""
        if missing := [name for name in self.needs if find_spec(name) is None]:
            sys.exit(f"{self.algorithm}: its scripts import {' and '.join(missing)}. Install what is missing.")
        if not (self.templates / self.algorithm).is_dir():
            sys.exit(f"{self.templates}: expected the folder {self.algorithm}. Clone {CLONE}.")

    def prepare(self, dataset: Path, splits: Sequence[Split], fold: int) -> None:
        """Lay down the folds, analyse the cases and make a bundle of each fold, as Auto3DSeg does."""
        shutil.rmtree(self.work, ignore_errors=True)  # of a call that was interrupted
        self.work.mkdir(parents=True)
        about = json.loads((dataset / "dataset.json").read_text())
        (self.work / "datalist.json").write_text(json.dumps(datalist(about["training"], splits, fold)))
        kind = "ct" if next(iter(about["modality"].values())).lower() == "ct" else "mri"
        source = {"modality": kind, "datalist": str(self.work / "datalist.json"), "dataroot": str(dataset)}
        (self.work / "input.json").write_text(json.dumps(source))
        what = (self.templates, self.work, self.device, len(splits), self.algorithm)
        (self.work / "prepared.json").write_text(json.dumps(self._call("auto3dseg_bundles.py", *what)))

    def train(self, fold: int, seconds: float, seed: int) -> tuple[Path, dict[str, Any]]:
        """Train and validate a fold; returns the folder of its predictions, and what was done."""
        spent = self._call("auto3dseg_budget.py", self._bundle(fold), seconds, seed)
        found = next((self._bundle(fold) / "predictions").rglob("*.nii.gz"))
        return found.parent, self._facts(fold, spent)  # as deep as the images of the data set are

    def _bundle(self, fold: int) -> Path:
        return self.work / f"{self.algorithm}_{fold}"

    def _facts(self, fold: int, spent: dict[str, float]) -> dict[str, Any]:
        return {
            **json.loads((self._bundle(fold) / "budget.json").read_text()),
            "templates": templates_revision(self.clone, self.templates / self.algorithm),
            "preparation": json.loads((self.work / "prepared.json").read_text()),
            "whole": spent,
        }

    def _call(self, script: str, *options: object) -> dict[str, float]:
        environment = os.environ | {"MPLBACKEND": "agg", "MLFLOW_ALLOW_FILE_STORE": "true"}  # where they log to
        environment.pop("PYTHONPATH", None)
        call = [sys.executable, Path(__file__).with_name(script), *options]
        return timed([str(part) for part in call], environment, self.work / "log.txt")


class Dints(Auto3dseg):
    """DiNTS by its own scripts, which take CUDA, and by its own schedule, which takes the time it takes."""

    algorithm = "dints"
    needs = ("fire", "mlflow")

    def refuse_unready(self) -> None:
        """Stop where its scripts could not run."""
        import torch

        if self.device != "cuda" or not torch.cuda.is_available():
            sys.exit("--sides auto3dseg-dints: its scripts compute with CUDA alone. Give --device cuda, and a GPU.")
        super().refuse_unready()

    def train(self, fold: int, seconds: float, seed: int) -> tuple[Path, dict[str, Any]]:
        """Train a fold and label its validation cases, in whatever time; returns as its base does."""
        spent = self._call("auto3dseg_dints.py", self._bundle(fold), seed)
        return self._bundle(fold) / "labelled", self._facts(fold, spent)


def datalist(cases: Sequence[dict[str, str]], splits: Sequence[Split], fold: int) -> dict[str, list[dict[str, Any]]]:
    """Return Auto3DSeg's list of cases, each with the fold that it validates; those of ``fold`` are `testing`, too.

    >>> pair = [{"image": f"./images/{case}.nii.gz", "label": f"./labels/{case}.nii.gz"} for case in "ab"]
    >>> found = datalist(pair, [Split(("b",), ("a",)), Split(("a",), ("b",))], 1)
    >>> [case["fold"] for case in found["training"]], found["testing"]
    ([0, 1], [{'image': './images/b.nii.gz'}])
    """
    number = {case: each for each, split in enumerate(splits) for case in split.validation}
    training = [{**case, "fold": number[Path(case["image"]).name.removesuffix(".nii.gz")]} for case in cases]
    return {"training": training, "testing": [{"image": case["image"]} for case in training if case["fold"] == fold]}
