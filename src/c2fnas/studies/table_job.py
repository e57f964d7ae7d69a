"""What runs on a device for a table of topologies: one training, scored on its way and at its end."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from c2fnas.data.patches import PatchSampler, prefetched
from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.networks import build_network
from c2fnas.runs.run import Setting, evenly_spread
from c2fnas.space.architecture import Architecture
from c2fnas.space.topology import Topology
from c2fnas.stages.jobs import fitted
from c2fnas.studies.table_setting import TableSetting
from c2fnas.training.checkpoint import forget_checkpoints
from c2fnas.training.loop import train

Json = dict[str, Any]


def measure_topology(payload: Json, folder: Path, device: str) -> Json:
    """Train a topology with the 3D operation everywhere; Dice at every rung and at the end (see :class:`TableSetting`).

    The seed decides weights and patches. A training of seconds is begun anew where it was cut short.
    """
    began = time.process_time()
    setting, small = Setting.load(folder / payload["run"]), TableSetting.model_validate(payload["setting"])
    architecture = Architecture.uniform(Topology(tuple(payload["code"])), width=small.width)
    torch.manual_seed(payload["seed"])
    network = build_network(architecture, in_channels=setting.in_channels, classes=setting.classes)
    rungs: Json = {}
    forget_checkpoints(folder)
    for iteration in (*small.rungs, small.iterations):
        _train_until(iteration, network, setting, small, payload, folder, device)
        evaluation = _evaluate(network, setting, small, payload["precision"], device)
        rungs[str(iteration)] = evaluation.mean
    forget_checkpoints(folder)
    return {"dice": rungs, "per_class": evaluation.per_class, "seconds": time.process_time() - began}


def _train_until(
    iteration: int,
    network: torch.nn.Module,
    setting: Setting,
    small: TableSetting,
    payload: Json,
    folder: Path,
    device: str,
) -> None:
    recipe = fitted(small.recipe(payload["precision"]), payload)
    sampler = PatchSampler(
        setting.cases(setting.search_split.training),
        patch_size=setting.plan.patch_size,
        volumes=recipe.volumes,
        patches_per_volume=recipe.patches_per_volume,
        seed=payload["seed"],
        foreground_rate=recipe.foreground_rate,
        device=None if device.startswith("cpu") else torch.device(device),
    )
    train(
        network,
        partial(prefetched, sampler, workers=1),
        recipe,
        folder=folder,
        seed=payload["seed"],
        device=device,
        until=iteration,
    )


def _evaluate(
    network: torch.nn.Module, setting: Setting, small: TableSetting, precision: Any, device: str
) -> Evaluation:
    cases = setting.cases(evenly_spread(setting.search_split.validation, small.cases))
    window = SlidingWindow(patch_size=setting.plan.patch_size, stride=setting.plan.stride, precision=precision)
    return evaluate_network(network, cases, window, class_names=setting.class_names, device=device)
