"""Auto3DSeg's SegResNet, its training ended by the clock: what `auto3dseg_side.py` runs.

    python benchmarks/auto3dseg_budget.py prepare TEMPLATES WORK cpu|cuda FOLDS
    python benchmarks/auto3dseg_budget.py train BUNDLE SECONDS SEED

Everything but the schedule is the template's own: analysis of the data, spacing, patch, network, loss, augmentation,
optimiser. The learning rate warms up and falls along the template's cosine, over the share of the time that is gone in
place of the share of the epochs, step by step. Validations between epochs, which choose the weights there, are left
out: all of the time is training, and the last weights are taken. The time includes the first reading of the cases.
"""

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

ALGORITHM = "segresnet"
NEVER = 10**9
SAMPLES, WARMUP_EPOCHS = 10, 3
"""Places that the template keeps of each class and case, for each epoch, and the epochs of its warm-up."""
WARMUP_FROM = 0.1
"""Of the template's warm-up, the share of the learning rate that it begins with."""


def prepare(templates: str, work: str, device: str, folds: str) -> None:
    """Analyse the cases and make the bundles of all folds in ``work``."""
    from monai.apps.auto3dseg import BundleGen, DataAnalyzer

    folder = Path(work)
    source = json.loads((folder / "input.json").read_text())
    statistics = str(folder / "datastats.yaml")
    DataAnalyzer(
        source["datalist"], source["dataroot"], output_path=statistics, device=device, worker=0
    ).get_all_case_stats()
    made = BundleGen(
        algo_path=work,
        algos=ALGORITHM,
        templates_path_or_url=templates,
        data_stats_filename=statistics,
        data_src_cfg_name=str(folder / "input.json"),
    )
    made.generate(work, num_fold=int(folds))


class Over(Exception):
    """The time is over."""


class EveryEpoch:
    """In the place of the template's scheduler: the rate is set at every step."""

    last_epoch = 0

    def step(self) -> None:
        """Nothing."""


def share_of_rate(gone: float, warmup: float) -> float:
    """The template's warm-up and cosine, at a share of the whole length.

    >>> [round(share_of_rate(gone, 0.01), 2) for gone in (0.0, 0.01, 0.505, 1.0)]
    [0.1, 1.0, 0.5, 0.0]
    """
    if gone < warmup:
        return WARMUP_FROM + (1 - WARMUP_FROM) * gone / warmup
    return max(0.0, 0.5 * (1 + math.cos(math.pi * (gone - warmup) / (1 - warmup))))


def train(bundle: str, seconds: str, seed: str) -> None:
    """Train for so many seconds, then label the validation cases; what was done goes to `budget.json`."""
    import torch
    import yaml
    from monai.utils import set_determinism

    folder = Path(bundle)
    sys.path.insert(0, str(folder / "scripts"))
    segmenter: Any = import_module("segmenter")
    configuration = folder / "configs" / "hyper_parameters.yaml"
    planned = yaml.safe_load(configuration.read_text())
    warmup = planned.get("num_warmup_epochs", WARMUP_EPOCHS) / planned["num_epochs"]
    cores = len(os.sched_getaffinity(0))
    if not torch.cuda.is_available():
        torch.set_num_threads(cores)
    set_determinism(seed=int(seed))

    class Clocked(segmenter.Segmenter):
        iterations, began = 0, 0.0

        def train_epoch(self, *, train_loader: Any, optimizer: Any, **others: Any) -> Any:
            batches = self.until_over(train_loader, optimizer)
            batches_of = type("Batches", (), {"__iter__": lambda _: batches, "__len__": lambda _: len(train_loader)})
            return super().train_epoch(train_loader=batches_of(), optimizer=optimizer, **others)

        def until_over(self, loader: Any, optimizer: Any) -> Iterator[Any]:
            for batch in loader:
                gone = (time.monotonic() - self.began) / float(seconds)
                if gone >= 1:
                    raise Over
                for group in optimizer.param_groups:
                    group["lr"] = self.config["learning_rate"] * share_of_rate(gone, warmup)
                yield batch
                self.iterations += 1

    output = folder / "predictions"
    shutil.rmtree(output, ignore_errors=True)
    override = {
        "num_epochs": NEVER,
        "max_samples_per_class": SAMPLES * planned["num_epochs"],
        "num_epochs_per_validation": NEVER,
        "num_epochs_per_saving": NEVER,
        "num_workers": max(1, cores // 2),
        "validate#output_path": str(output / "labelled"),
        "validate#save_mask": True,
    }
    clocked = Clocked(config_file=str(configuration), config_dict=override)
    clocked.lr_scheduler = EveryEpoch()
    clocked.began = time.monotonic()
    with suppress(Over):
        clocked.train()
    took = time.monotonic() - clocked.began
    clocked.checkpoint_save(str(folder / "model" / "model.pt"), clocked.model)
    clocked.validate()
    config = clocked.config
    facts = {
        "versions": versions(),
        "network": config["network"],
        "spacing": list(config["resample_resolution"]) if config["resample"] else None,
        "patch": list(config["roi_size"]),
        "batch": config["batch_size"] * config["num_crops_per_image"],
        "precision": "amp" if config["amp"] else "fp32",
        "mirror": False,
        "iterations": clocked.iterations,
        "seconds": took,
    }
    (folder / "budget.json").write_text(json.dumps(facts))


def versions() -> dict[str, str]:
    """Of Python, PyTorch and MONAI."""
    from importlib.metadata import version

    return {"python": sys.version.split()[0], **{name: version(name) for name in ("torch", "monai")}}


if __name__ == "__main__":
    os.chdir(sys.argv[3] if sys.argv[1] == "prepare" else sys.argv[2])  # where the template leaves a runner.log
    {"prepare": prepare, "train": train}[sys.argv[1]](*sys.argv[2:])
