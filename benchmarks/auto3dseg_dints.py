"""Auto3DSeg's DiNTS, trained and applied by its own scripts: what `auto3dseg_side.py` runs. It takes CUDA.

    python benchmarks/auto3dseg_dints.py BUNDLE SEED

The training is the template's from end to end: its schedule, its validations, its best weights. It knows no time
budget, so that it takes the time it takes, which is recorded. It computes on one GPU, the first that it may use.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from auto3dseg_bundles import versions

INFERENCE = ("hyper_parameters.yaml", "network.yaml", "transforms_infer.yaml")
"""The configurations that the template's README has its inference read."""


def main(bundle: str, seed: str) -> None:
    """Train a bundle, then label the cases of the list's `testing`; what was done goes to `budget.json`."""
    folder = Path(bundle)
    began = time.monotonic()
    train(folder, int(seed), first_gpu())
    facts = facts_of(folder) | {"seconds": time.monotonic() - began}  # inference writes its own batch there
    label(folder, first_gpu())
    (folder / "budget.json").write_text(json.dumps(facts))


def first_gpu() -> str:
    """Return the first GPU that this process may use."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]


def train(folder: Path, seed: int, gpu: str) -> None:
    """Have the bundle's algorithm train itself, with this Python."""
    from monai.auto3dseg.utils import algo_from_json

    templates = str(folder.parent / "algorithm_templates")
    algorithm, _ = algo_from_json(str(folder / "algo_object.json"), template_path=templates)
    algorithm.train({"random_seed": seed}, {"CUDA_VISIBLE_DEVICES": gpu, "CMD_PREFIX": sys.executable})


def label(folder: Path, gpu: str) -> None:
    """Label the cases of `testing` by the bundle's script, and gather the labels in one folder."""
    output, labelled = folder / "prediction_testing", folder / "labelled"
    for each in (output, labelled):
        shutil.rmtree(each, ignore_errors=True)
    configurations = [str(folder / "configs" / name) for name in INFERENCE]
    script = [sys.executable, str(folder / "scripts" / "infer.py"), "run", f"--config_file={configurations}"]
    subprocess.run(script, env=os.environ | {"CUDA_VISIBLE_DEVICES": gpu}, check=True)
    labelled.mkdir()
    for path in sorted(output.rglob("*.nii.gz")):
        path.rename(labelled / path.name)


def facts_of(folder: Path) -> dict[str, Any]:
    """Return what the template has planned and done, from its configuration and its history."""
    import yaml

    planned = yaml.safe_load((folder / "configs" / "hyper_parameters.yaml").read_text())["training"]
    (history,) = folder.glob("model_fold*/accuracy_history.csv")
    return {
        "versions": versions(),
        "network": "DiNTS, the architecture that comes with the template",
        "spacing": planned["resample_resolution"],
        "patch": planned["roi_size"],
        "batch": planned["num_patches_per_iter"],
        "precision": "amp" if planned["amp"] else "fp32",
        "views": 1,
        "iterations": int(history.read_text().splitlines()[-1].split("\t")[-1]),
    }


if __name__ == "__main__":
    os.chdir(sys.argv[1])  # where the template leaves a runner.log
    main(*sys.argv[1:])
