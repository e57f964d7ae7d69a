"""MONAI's side of `peers.py`: the SegResNet that Auto3DSeg makes from its template, run by the caller's Python."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from c2fnas.data.folds import Split
from nnunet_side import timed

TEMPLATES = Path("auto3dseg") / "algorithm_templates"
ALGORITHM = "segresnet"
TRAINER = Path(__file__).with_name("auto3dseg_budget.py")


class Auto3dseg:
    """The template in a work folder of its own.

    Args:
        templates: a clone of Project-MONAI/research-contributions.
        work: the folder.
        device: "cpu" or "cuda".
    """

    def __init__(self, templates: Path, work: Path, device: str) -> None:
        self.templates, self.work, self.device = templates.resolve() / TEMPLATES, work, device
        if not (self.templates / ALGORITHM).is_dir():
            sys.exit(f"{self.templates}: expected the folder {ALGORITHM}. Clone Project-MONAI/research-contributions.")
        shutil.rmtree(work, ignore_errors=True)  # of a call that was interrupted
        work.mkdir(parents=True)

    def prepare(self, dataset: Path, splits: Sequence[Split]) -> None:
        """Lay down the folds, analyse the cases and make a bundle of each fold, as Auto3DSeg does."""
        about = json.loads((dataset / "dataset.json").read_text())
        fold = {case: number for number, split in enumerate(splits) for case in split.validation}
        cases = [{**case, "fold": fold[Path(case["image"]).name.removesuffix(".nii.gz")]} for case in about["training"]]
        (self.work / "datalist.json").write_text(json.dumps({"training": cases}))
        kind = "ct" if next(iter(about["modality"].values())).lower() == "ct" else "mri"
        source = {"modality": kind, "datalist": str(self.work / "datalist.json"), "dataroot": str(dataset)}
        (self.work / "input.json").write_text(json.dumps(source))
        (self.work / "prepared.json").write_text(
            json.dumps(self._call("prepare", self.templates, self.work, self.device, len(splits)))
        )

    def train(self, fold: int, seconds: float, seed: int) -> tuple[Path, dict[str, Any]]:
        """Train and validate a fold; returns the folder of its predictions, and what was done."""
        bundle = self.work / f"{ALGORITHM}_{fold}"
        spent = self._call("train", bundle, seconds, seed)
        labelled = next((bundle / "predictions").rglob("*.nii.gz")).parent  # as deep as the images of the data set are
        return labelled, json.loads((bundle / "budget.json").read_text()) | {"whole": spent}

    def _call(self, *command: object) -> dict[str, float]:
        environment = os.environ | {"MPLBACKEND": "agg"}
        environment.pop("PYTHONPATH", None)
        return timed([sys.executable, str(TRAINER), *map(str, command)], environment, self.work / "log.txt")
