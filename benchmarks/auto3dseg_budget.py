"""Auto3DSeg's SegResNet, its training ended by the clock: what `auto3dseg_side.py` runs.

    python benchmarks/auto3dseg_budget.py BUNDLE SECONDS SEED

Everything but the schedule is the template's own: analysis of the data, spacing, patch, network, loss, augmentation,
optimiser. The learning rate warms up and falls along the template's cosine, over the share of the time that is gone in
place of the share of the epochs, step by step. Validations between epochs, which choose the weights there, are left
out: all of the time is training, and the last weights are taken. The time includes the first reading of the cases. All
cases are kept in memory; the template keeps as many as fit beside 50 GB, and takes more steps of each where few do.
"""

import json
import math
import os
import random
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from auto3dseg_bundles import versions

NEVER = 10**9
SAMPLES, WARMUP_EPOCHS = 10, 3
"""Places that the template keeps of each class and case, for each epoch, and the epochs of its warm-up."""
WARMUP_FROM = 0.1
"""Of the template's warm-up, the share of the learning rate that it begins with."""
MOST_CROPS = 3
"""The template divides its epochs by the crops of an image, by three at most."""


class Over(Exception):
    """The time is over."""


class EveryEpoch:
    """In the place of the template's scheduler: the rate is set at every step."""

    last_epoch = 0

    def step(self) -> None:
        """Nothing."""


def share_of_rate(gone: float, warmup: float) -> float:
    """Return the template's warm-up and cosine, at a share of the whole length.

    >>> [round(share_of_rate(gone, 0.01), 2) for gone in (0.0, 0.01, 0.505, 1.0)]
    [0.1, 1.0, 0.5, 0.0]
    """
    if gone < warmup:
        return WARMUP_FROM + (1 - WARMUP_FROM) * gone / warmup
    return max(0.0, 0.5 * (1 + math.cos(math.pi * (gone - warmup) / (1 - warmup))))


def share_of_warmup(planned: Mapping[str, Any], crops: int) -> float:
    """Return the share of its epochs in which the template warms up: with several crops of an image it has fewer.

    >>> share_of_warmup({"num_epochs": 300}, 1), share_of_warmup({"num_epochs": 300, "num_warmup_epochs": 12}, 2)
    (0.01, 0.04)
    """
    warmup = max(WARMUP_EPOCHS, planned.get("num_warmup_epochs", WARMUP_EPOCHS) // crops)
    return min(1.0, warmup / max(1, planned["num_epochs"] // min(MOST_CROPS, crops)))


def seed_all(seed: int) -> None:
    """Seed all random numbers; MONAI's own function would choose cuDNN's slower, deterministic code besides."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def train(bundle: str, seconds: str, seed: str) -> None:
    """Train for so many seconds, then label the validation cases; what was done goes to `budget.json`."""
    import torch
    import yaml

    folder = Path(bundle)
    sys.path.insert(0, str(folder / "scripts"))
    segmenter: Any = import_module("segmenter")
    configuration = folder / "configs" / "hyper_parameters.yaml"
    planned = yaml.safe_load(configuration.read_text())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not torch.cuda.is_available():
        torch.set_num_threads(cores)
    seed_all(int(seed))

    class Clocked(segmenter.Segmenter):
        iterations, steps_per_image, began = 0, 1, 0.0

        def train_epoch(self, *, train_loader: Any, optimizer: Any, **others: Any) -> Any:
            self.steps_per_image = others.get("num_steps_per_image", 1)
            batches = self.until_over(train_loader, optimizer)
            batches_of = type("Batches", (), {"__iter__": lambda _: batches, "__len__": lambda _: len(train_loader)})
            return super().train_epoch(train_loader=batches_of(), optimizer=optimizer, **others)

        def until_over(self, loader: Any, optimizer: Any) -> Iterator[Any]:
            warmup = share_of_warmup(planned, int(self.config["num_crops_per_image"]))
            for batch in loader:
                gone = (time.monotonic() - self.began) / float(seconds)
                if gone >= 1:
                    raise Over
                for group in optimizer.param_groups:
                    group["lr"] = self.config["learning_rate"] * share_of_rate(gone, warmup)
                yield batch
                self.iterations += self.steps_per_image

    output = folder / "predictions"
    shutil.rmtree(output, ignore_errors=True)
    clocked = Clocked(config_file=str(configuration), config_dict=overrides(planned, cores, output))
    clocked.lr_scheduler = EveryEpoch()
    clocked.began = time.monotonic()
    with suppress(Over):
        clocked.train()
    took = time.monotonic() - clocked.began
    clocked.checkpoint_save(str(folder / "model" / "model.pt"), clocked.model)
    clocked.validate()
    facts = facts_of(clocked.config) | {"iterations": clocked.iterations, "seconds": took}
    (folder / "budget.json").write_text(json.dumps(facts | {"steps_per_image": clocked.steps_per_image}))


def overrides(planned: Mapping[str, Any], cores: int, output: Path) -> dict[str, Any]:
    """Return what is set in place of the template's own: a training without end or validation, its cases in memory."""
    return {
        "num_epochs": NEVER,
        "max_samples_per_class": SAMPLES * planned["num_epochs"],
        "num_epochs_per_validation": NEVER,
        "num_epochs_per_saving": NEVER,
        "num_workers": max(1, cores // 2),
        "cache_rate": 1.0,
        "validate#output_path": str(output / "labelled"),
        "validate#save_mask": True,
    }


def facts_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template has planned, from its configuration after the training."""
    return {
        "versions": versions(),
        "network": config["network"],
        "spacing": list(config["resample_resolution"]) if config["resample"] else None,
        "patch": list(config["roi_size"]),
        "batch": config["batch_size"] * config["num_crops_per_image"],
        "precision": "amp" if config["amp"] else "fp32",
        "views": 1,
    }


if __name__ == "__main__":
    os.chdir(sys.argv[1])  # where the template leaves a runner.log
    train(*sys.argv[1:])
