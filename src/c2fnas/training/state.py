"""All that a training is at an iteration, into a checkpoint and back."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from c2fnas.errors import UserError
from c2fnas.training.checkpoint import Checkpoint
from c2fnas.training.random_state import random_state, restore_random_state
from c2fnas.training.recipe import RESULT_FREE, Recipe
from c2fnas.training.step import Stepper, TrainingFailed

MODEL, RANDOM = "model/", "random/"
MOMENTA = {"momentum_buffer": "momentum/", "exp_avg": "exp_avg/", "exp_avg_sq": "exp_avg_sq/", "step": "step/"}
"""What SGD and AdamW keep of a parameter, by PyTorch's names, and where it lies in a checkpoint."""

log = logging.getLogger(__name__)


def state_tensors(stepper: Stepper) -> dict[str, Tensor]:
    """Weights, momentum and every rank's random generators; a collective call where there are several ranks.

    Momentum is there for the parameters that have been moved, and for no others: a super-network's path.

    Raises:
        TrainingFailed: a weight is not finite.
    """
    tensors = {MODEL + name: value for name, value in stepper.network.state_dict().items()}
    broken = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise TrainingFailed(f"weights are not finite any more, such as {broken[0].removeprefix(MODEL)}")
    for name, parameter in stepper.network.named_parameters():
        kept = stepper.optimiser.state.get(parameter, {})
        tensors |= {MOMENTA[key] + name: value for key, value in kept.items() if value is not None}
    return tensors | {RANDOM + name: _of_all_ranks(stepper, value) for name, value in random_state().items()}


def state_facts(stepper: Stepper, seed: int, threads: int, loss: float | None) -> dict[str, Any]:
    """What a checkpoint says in JSON. The schedule and the sampler are functions of the iteration and need no state."""
    return {
        "recipe": stepper.recipe.model_dump(mode="json"),
        "seed": seed,
        "world_size": stepper.fabric.world_size,
        "threads": threads,
        "loss": loss,
        "overflows": stepper.overflows,
        "scaler": stepper.scaler.state_dict() if stepper.scaler else None,
    }


def restore(stepper: Stepper, checkpoint: Checkpoint, threads: int, folder: Path) -> None:
    """Put ``stepper`` and the random generators where they were.

    Raises:
        UserError: the checkpoint is of another network.
    """
    try:
        stepper.network.load_state_dict(_under(MODEL, checkpoint.tensors))
    except RuntimeError as error:
        raise UserError(f"{folder}: its checkpoint is of another network ({error}). Choose another folder.") from error
    if checkpoint.meta["recipe"].get("optimiser", "sgd") == stepper.recipe.optimiser:
        _restore_momenta(stepper, checkpoint)
    stepper.overflows = checkpoint.meta["overflows"]
    if stepper.scaler and checkpoint.meta["scaler"]:
        stepper.scaler.load_state_dict(checkpoint.meta["scaler"])
    _restore_random(stepper, checkpoint)
    if checkpoint.meta["threads"] != threads:
        log.warning(
            "%s: resumed with %d threads after %d; the last bits may differ.",
            folder,
            threads,
            checkpoint.meta["threads"],
        )


def refuse_another(checkpoint: Checkpoint, recipe: Recipe, seed: int, folder: Path, *, extend: bool) -> None:
    """See that ``checkpoint`` belongs to this training.

    Raises:
        UserError: another seed or recipe where it is not to be extended, or one that ends before the checkpoint.
    """
    known = {"optimiser": "sgd", **checkpoint.meta["recipe"], "seed": checkpoint.meta["seed"]}
    wanted = {**recipe.model_dump(mode="json"), "seed": seed}
    changed = [name for name in wanted if name not in RESULT_FREE and known.get(name) != wanted[name]]
    if changed and not extend:
        changes = "; ".join(f"{name} {known.get(name)} → {wanted[name]}" for name in changed)
        raise UserError(
            f"{folder}: a training with other settings lies here ({changes}). Choose another folder, restore the "
            "settings, or extend it on purpose."
        )
    if checkpoint.iteration > recipe.iterations:
        raise UserError(
            f"{folder}: {checkpoint.iteration} iterations are done, more than the {recipe.iterations} asked for."
        )


def _restore_momenta(stepper: Stepper, checkpoint: Checkpoint) -> None:
    """Not those of another optimiser, which an extension may bring: the new one begins with none."""
    for key, prefix in MOMENTA.items():
        kept = _under(prefix, checkpoint.tensors)
        for name, parameter in stepper.network.named_parameters():
            if name in kept:
                # AdamW counts a parameter's steps on the CPU.
                place = "cpu" if key == "step" else parameter.device
                stepper.optimiser.state[parameter][key] = kept[name].to(place)


def _restore_random(stepper: Stepper, checkpoint: Checkpoint) -> None:
    states = _under(RANDOM, checkpoint.tensors)
    rank = stepper.fabric.global_rank
    if checkpoint.meta["world_size"] != stepper.fabric.world_size:
        log.warning("Resumed on %d processes after %d.", stepper.fabric.world_size, checkpoint.meta["world_size"])
        rank %= checkpoint.meta["world_size"]
    restore_random_state({name: value[rank] for name, value in states.items()})


def _of_all_ranks(stepper: Stepper, value: Tensor) -> Tensor:
    """``value`` of every rank, along a new first axis."""
    if stepper.fabric.world_size == 1:
        return value[None]
    own = value.to(stepper.fabric.device)
    parts = [torch.empty_like(own) for _ in range(stepper.fabric.world_size)]
    torch.distributed.all_gather(parts, own)
    return torch.stack(parts)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
