"""What runs on a device: targets of executor jobs, JSON in, JSON out, everything else through the run folder.

Each target resumes from its own folder when it is called again, and each is a pure function of the run's configuration
and its payload, so it does not matter where or how often it was interrupted.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from c2fnas.data.augment import augmentation
from c2fnas.data.patches import PatchSampler, prefetched
from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.execution.retry import MICRO_BATCH_DIVISOR
from c2fnas.files import write_json
from c2fnas.inference.ensemble import Mirrored
from c2fnas.inference.package import load_package, save_package
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.networks.designs import Design, build_design, design_from_json
from c2fnas.runs.folder import EVALUATION, PACKAGE
from c2fnas.runs.live import progress_to
from c2fnas.runs.run import Setting
from c2fnas.space.architecture import Architecture
from c2fnas.stages.card import model_card
from c2fnas.training.checkpoint import forget_checkpoints
from c2fnas.training.device import ranks
from c2fnas.training.loop import train
from c2fnas.training.recipe import Recipe
from c2fnas.training.step import Forward, plain_forward
from c2fnas.training.weights import load_weights, save_weights, transfer

Json = dict[str, Any]
PREFETCH_WORKERS = 1
WEIGHTS = "weights.safetensors"


def train_candidate(payload: Json, folder: Path, device: str) -> Json:
    """Train an architecture of the coarse stage from scratch and score it on the validation fold (paper Eq. 2, 3).

    To the end, or ``until`` an iteration: called again with a later one, it carries on. Its weights are kept for the
    finalists' validation; its checkpoints until the driver knows of the result, lest a kill cost the training.
    """
    setting = setting_of(payload, folder)
    network = new_network(setting, Architecture.from_json(payload["architecture"]))
    recipe = fitted(setting.config.coarse.recipe, payload)
    until = payload.get("until", recipe.iterations)
    train_on(setting, network, setting.search_split.training, recipe, folder, device, until=until)
    evaluation = evaluate_on(
        setting, network, setting.search_split.validation, folder, device, window=setting.coarse_window
    )
    if until == recipe.iterations and setting.config.coarse.stride is not None:
        save_weights(folder / WEIGHTS, network)
    return {"dice": evaluation.mean, "per_class": evaluation.per_class}


def score_finalist(payload: Json, folder: Path, device: str) -> Json:
    """Score a trained coarse candidate at the plan's stride (paper 4.1: 16)."""
    setting = setting_of(payload, folder)
    network = new_network(setting, Architecture.from_json(payload["architecture"]))
    load_weights(setting.folder.coarse_trial(payload["candidate"]) / WEIGHTS, network)
    evaluation = evaluate_on(setting, network, setting.search_split.validation, folder, device)
    return {"dice": evaluation.mean, "per_class": evaluation.per_class}


def train_fold(payload: Json, folder: Path, device: str) -> Json:
    """Train an architecture on one fold, score it and leave a model package (paper 4.1, deployment).

    The newest checkpoint stays, so that the training can be extended (docs/decisions/0014).
    """
    setting = setting_of(payload, folder)
    architecture = design_from_json(payload["architecture"])
    recipe = fitted(setting.config.deployment.recipe, payload)
    split = setting.folds[payload["fold"]]
    network = train_fold_network(setting, architecture, recipe, payload, folder, device)
    deployed = Mirrored(network) if recipe.mirror else network
    evaluation = evaluate_on(setting, deployed, split.validation, folder, device)
    card = model_card(setting, architecture, recipe, payload["fold"], evaluation)
    save_package(
        folder / PACKAGE,
        network,
        architecture,
        setting.plan,
        card=card,
        weighting=setting.weighting,
        mirror=recipe.mirror,
    )
    forget_checkpoints(folder, keep=1)
    return {"dice": evaluation.mean, "per_class": evaluation.per_class}


def train_fold_network(
    setting: Setting, architecture: Design, recipe: Recipe, payload: Json, folder: Path, device: str
) -> torch.nn.Module:
    """The trained network of a fold; where several processes train together, each of them calls this."""
    network = new_network(setting, architecture)
    if payload["start"]:
        transfer(load_package(setting.folder.start_model).network.state_dict(), network)
    split, every = setting.folds[payload["fold"]], setting.config.deployment.validate_every

    def validate(trained: torch.nn.Module) -> float:
        cases = setting.cases(split.validation)
        return evaluate_network(trained, cases, setting.window(), class_names=setting.class_names, device=device).mean

    train_on(
        setting,
        network,
        split.training,
        recipe,
        folder,
        device,
        extend=payload["extend"],
        validate=validate,
        validate_every=every,
    )
    return network


def setting_of(payload: Json, folder: Path) -> Setting:
    """The run a job belongs to; its path is relative to the job's folder, so that a run can be moved."""
    return Setting.load(folder / payload["run"])


def new_network(setting: Setting, architecture: Design) -> torch.nn.Module:
    """The network of an architecture with the run's first weights."""
    torch.manual_seed(setting.config.seed)
    return build_design(architecture, in_channels=setting.in_channels, classes=setting.classes)


def fitted(recipe: Recipe, payload: Json) -> Recipe:
    """The recipe with a smaller micro-batch after an out-of-memory; the effective batch stays."""
    divisor = payload.get(MICRO_BATCH_DIVISOR, 1)
    if divisor == 1:
        return recipe
    return recipe.model_copy(update={"micro_batch": max(1, (recipe.micro_batch or recipe.batch_size) // divisor)})


def train_on(
    setting: Setting,
    network: torch.nn.Module,
    ids: tuple[str, ...],
    recipe: Recipe,
    folder: Path,
    device: str,
    forward: Forward = plain_forward,
    **options: Any,
) -> None:
    """Train on the cases called ``ids``; ``options`` are :func:`c2fnas.training.loop.train`'s."""
    rank, world_size = ranks()
    sampler = PatchSampler(
        setting.cases(ids),
        patch_size=setting.plan.patch_size,
        volumes=recipe.volumes,
        patches_per_volume=recipe.patches_per_volume,
        seed=setting.config.seed,
        foreground_rate=recipe.foreground_rate,
        augmentation=augmentation(recipe.augmentation, setting.plan),
        rank=rank,
        world_size=world_size,
        device=None if device.startswith("cpu") else torch.device(device),
    )
    batches = partial(prefetched, sampler, workers=PREFETCH_WORKERS)
    train(network, batches, recipe, folder=folder, seed=setting.config.seed, device=device, forward=forward, **options)


def evaluate_on(
    setting: Setting,
    network: torch.nn.Module,
    ids: tuple[str, ...],
    folder: Path,
    device: str,
    window: SlidingWindow | None = None,
) -> Evaluation:
    """Score on the cases called ``ids`` and leave ``evaluation.json``."""
    evaluation = evaluate_network(
        network,
        setting.cases(ids),
        window or setting.window(),
        class_names=setting.class_names,
        device=device,
        on_progress=progress_to(folder, "evaluated", device),
    )
    write_json(folder / EVALUATION, evaluation.to_json())
    return evaluation
