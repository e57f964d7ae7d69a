"""nnU-Net's training, ended by the clock: what `nnunet_side.py` runs with the Python that has nnU-Net v2.

    NNUNET_PYTHON benchmarks/nnunet_budget.py DATASET_ID FOLD cpu|cuda SECONDS

nnU-Net trains 1000 epochs of 250 iterations; one of them takes half an hour on two cores. Here everything but the
schedule is nnU-Net's own: plans, network, loss, augmentation, optimiser, validation. The learning rate decays by the
same polynomial, over the share of the time that is gone in place of the share of the epochs, step by step; the
validation batches between epochs, which decide nothing, are left out, so that all of the time is training.
"""

import json
import os
import sys
import time
from pathlib import Path

import torch
from nnunetv2.run import run_training
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

EXPONENT = 0.9
"""Of nnU-Net's polynomial."""


class nnUNetTrainerBudget(nnUNetTrainer):
    """Trains for so many seconds from the start of the training, the start of its workers included."""

    seconds = 60.0

    def run_training(self) -> None:
        """Train until the time is over, then save; what was done goes to `budget.json`."""
        began = time.monotonic()
        self.on_train_start()
        self.network.train()
        iterations = 0
        while (gone := (time.monotonic() - began) / self.seconds) < 1:
            for group in self.optimizer.param_groups:
                group["lr"] = self.initial_lr * (1 - gone) ** EXPONENT
            self.train_step(next(self.dataloader_train))
            iterations += 1
        views = 2 ** len(self.inference_allowed_mirroring_axes or ())
        facts = {"iterations": iterations, "seconds": time.monotonic() - began, "views": views}
        self.print_to_log_file(f"The time is over: {facts}")
        self.on_train_end()
        Path(self.output_folder, "budget.json").write_text(json.dumps(facts))


def main(dataset: str, fold: str, device: str, seconds: str) -> None:
    """What `nnUNetv2_train` does, without its search for a trainer, which imports every one that nnU-Net has."""
    nnUNetTrainerBudget.seconds = float(seconds)
    run_training.recursive_find_trainer_class_by_name = lambda name: nnUNetTrainerBudget
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(cores if device == "cpu" else 1)
    run_training.run_training(
        dataset, "3d_fullres", int(fold), trainer_class_name="nnUNetTrainerBudget", device=torch.device(device)
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
