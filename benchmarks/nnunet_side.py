"""nnU-Net's side of `nnunet_beside_us.py`: an environment of its own, its view of the data, plans, folds, training."""

import json
import os
import resource
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

from preprocessing_data import write_nnunet

IDENTIFIER = 903
PACKAGE = "nnunetv2"
TRAINER, TRAINED = Path(__file__).with_name("nnunet_budget.py"), "nnUNetTrainerBudget"


class Nnunet:
    """nnU-Net in a folder of its own; what an earlier call has done is kept.

    Args:
        python: of an environment with nnU-Net v2; None has one made in the folder, which takes several gigabytes.
        work: the folder.
        device: "cpu" or "cuda".
        workers: processes that prepare cases and export predictions.
    """

    def __init__(self, python: str | None, work: Path, device: str, workers: int) -> None:
        self.work, self.device, self.workers = work, device, workers
        self.python = python or install(work / "environment")
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
        """Versions, and what nnU-Net has planned."""
        code = (
            "import json, sys; from importlib.metadata import version as v; "
            f"print(json.dumps({{'python': sys.version.split()[0]}} | {{p: v(p) for p in ('{PACKAGE}', 'torch')}}))"
        )
        versions = json.loads(subprocess.check_output([self.python, "-c", code], text=True))
        plan = json.loads((folder / "nnUNetPlans.json").read_text())["configurations"]["3d_fullres"]
        return {
            "versions": versions,
            "spacing": plan["spacing"][::-1],
            "patch": plan["patch_size"][::-1],
            "batch": plan["batch_size"],
            "precision": "fp32" if self.device == "cpu" else "amp",
        }

    def call(self, *command: object) -> dict[str, float]:
        """Run a command in nnU-Net's environment; wall-clock and processor seconds, those of its processes included."""
        folders = {f"nnUNet_{name}": str(self.work / name) for name in ("raw", "preprocessed", "results")}
        environment = os.environ | folders | {"nnUNet_def_n_proc": str(self.workers)}
        environment.pop("PYTHONPATH", None)
        if self.device == "cpu":  # where augmentation and training share the cores
            environment["nnUNet_n_proc_DA"] = str(max(1, (os.cpu_count() or 1) // 2))
        return timed([str(part) for part in command], environment, self.work / "log.txt")


def install(folder: Path) -> str:
    """An environment with nnU-Net v2; returns its Python."""
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
