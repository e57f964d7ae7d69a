"""nnU-Net's side of `nnunet_beside_us.py` and `peers.py`: environment, view of the data, plans, folds, training."""

import json
import os
import resource
import subprocess
import sys
import time
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preprocessing_data import write_nnunet

IDENTIFIER = 903
PACKAGE = "nnunetv2"
TRAINER, TRAINED = Path(__file__).with_name("nnunet_budget.py"), "nnUNetTrainerBudget"


class Nnunet:
    """nnU-Net in a folder of its own; what an earlier call has done is kept.

    Args:
        python: of an environment with nnU-Net v2, see :func:`install`.
        work: the folder.
        device: "cpu" or "cuda".
        workers: processes that prepare cases and export predictions.
    """

    def __init__(self, python: str, work: Path, device: str, workers: int) -> None:
        self.python, self.work, self.device, self.workers = python, work, device, workers
        for name in ("raw", "preprocessed", "results"):
            (work / name).mkdir(parents=True, exist_ok=True)

    def prepare(self, dataset: Path, splits: list[dict[str, list[str]]]) -> Path:
        """Link the data, plan, preprocess and lay down the folds; returns the folder of preprocessed cases."""
        name = write_nnunet(dataset, self.work / "raw", IDENTIFIER)
        folder, done = self.work / "preprocessed" / name, self.work / "prepared.json"
        if not done.exists():
            program = Path(self.python).parent / "nnUNetv2_plan_and_preprocess"
            spent = self.call(
                program, "-d", IDENTIFIER, "-c", "3d_fullres", "-np", self.workers, "-npfp", self.workers, "--no_pbar"
            )
            done.write_text(json.dumps(spent))
        (folder / "splits_final.json").write_text(json.dumps(splits))
        return folder

    def train(self, fold: int, seconds: float) -> tuple[Path, dict[str, Any]]:
        """Train and validate a fold; returns the folder of its predictions, and what was done."""
        pattern = f"*/{TRAINED}__*/fold_{fold}"
        if not list((self.work / "results").glob(f"{pattern}/done.json")):
            spent = self.call(self.python, TRAINER, IDENTIFIER, fold, self.device, seconds)
            (place,) = (self.work / "results").glob(pattern)
            facts = json.loads((place / "budget.json").read_text()) | {"whole": spent}
            (place / "done.json").write_text(json.dumps(facts))
        (place,) = (self.work / "results").glob(pattern)
        return place / "validation", json.loads((place / "done.json").read_text())

    def facts(self, folder: Path) -> dict[str, Any]:
        """Versions, what nnU-Net has planned, and the time that its preparation took."""
        code = (
            "import json, sys; from importlib.metadata import version as v; "
            f"print(json.dumps({{'python': sys.version.split()[0]}} | {{p: v(p) for p in ('{PACKAGE}', 'torch')}}))"
        )
        versions = json.loads(subprocess.check_output([self.python, "-c", code], text=True))
        return {
            "versions": versions,
            **planned(json.loads((folder / "nnUNetPlans.json").read_text())),
            "precision": "fp32" if self.device == "cpu" else "amp",
            "preparation": json.loads((self.work / "prepared.json").read_text()),
        }

    def call(self, *command: object) -> dict[str, float]:
        """Run a command in nnU-Net's environment; wall-clock and processor seconds, those of its processes included."""
        folders = {f"nnUNet_{name}": str(self.work / name) for name in ("raw", "preprocessed", "results")}
        environment = os.environ | folders | {"nnUNet_def_n_proc": str(self.workers)}
        environment.pop("PYTHONPATH", None)
        if self.device == "cpu":  # where augmentation and training share the cores
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            environment["nnUNet_n_proc_DA"] = str(max(1, cores // 2))
        return timed([str(part) for part in command], environment, self.work / "log.txt")


def planned(plans: Mapping[str, Any]) -> dict[str, Any]:
    """Return what nnU-Net's plans say of `3d_fullres`, each value by the axes of the files.

    >>> architecture = {"arch_kwargs": {"kernel_sizes": [[1, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [1, 2, 2]]}}
    >>> own = {"spacing": [8, 1.5, 1.25], "patch_size": [4, 16, 24], "batch_size": 2, "architecture": architecture}
    >>> planned({"configurations": {"3d_fullres": own}, "transpose_forward": [0, 1, 2]})["levels"]
    [[[3, 3, 1], [1, 1, 1]], [[3, 3, 3], [2, 2, 1]]]
    """
    plan, order = plans["configurations"]["3d_fullres"], plans.get("transpose_forward", (0, 1, 2))
    architecture = plan["architecture"]["arch_kwargs"]
    levels = zip(architecture["kernel_sizes"], architecture["strides"], strict=True)
    return {
        "spacing": by_axes_of_files(plan["spacing"], order),
        "patch": by_axes_of_files(plan["patch_size"], order),
        "levels": [[by_axes_of_files(each, order) for each in level] for level in levels],
        "batch": plan["batch_size"],
    }


def by_axes_of_files(values: Sequence[Any], order: Sequence[int]) -> list[Any]:
    """Return nnU-Net's values, an axis each, in the order of a file's axes.

    Its arrays have the axes of a file backwards, and its plans take those of an array in an ``order`` of their own,
    the coarsest first.

    >>> by_axes_of_files(["k", "j", "i"], (0, 1, 2)), by_axes_of_files(["i", "k", "j"], (2, 0, 1))
    (['i', 'j', 'k'], ['i', 'j', 'k'])
    """
    array = dict(zip(order, values, strict=True))
    return [array[axis] for axis in (2, 1, 0)]


def install(folder: Path) -> str:
    """Return the Python of an environment with nnU-Net v2, which is made where there is none: several gigabytes."""
    python = folder / "bin" / "python"
    if not (folder / "bin" / "nnUNetv2_train").exists():
        print(f"Installing {PACKAGE} into {folder} ...", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGE], check=True)
    return str(python)


def timed(command: list[str], environment: dict[str, str], log: Path) -> dict[str, float]:
    """Run a command, its output appended to ``log``; stops this script where it fails."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as output:
        code = subprocess.run(command, env=environment, stdout=output, stderr=subprocess.STDOUT).returncode
    if code:
        end = "\n".join(log.read_text().splitlines()[-20:])
        sys.exit(f"{' '.join(command)} failed (whole log: {log}):\n{end}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": time.monotonic() - began, "cpu": cpu}
