"""The state of a training: weights, momenta and random generators, into a checkpoint and back."""

import logging
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from c2fnas.errors import UserError
from c2fnas.training.checkpoint import Checkpoint
from c2fnas.training.recipe import RESULT_FREE, Recipe
from c2fnas.training.step import Stepper, TrainingFailed

MODEL, RANDOM = "model/", "random/"
MOMENTA = {"momentum_buffer": "momentum/", "exp_avg": "exp_avg/", "exp_avg_sq": "exp_avg_sq/", "step": "step/"}
"""The state of a parameter in SGD and AdamW, by PyTorch's names, and its prefix in a checkpoint."""

log = logging.getLogger(__name__)


def state_tensors(stepper: Stepper) -> dict[str, Tensor]:
    """Return weights, momenta and every rank's random generators; a collective call where there are several ranks.

    Only parameters that have been moved have momenta, such as those on the paths of a super-network.

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


def state_meta(stepper: Stepper, seed: int, threads: int, loss: float | None) -> dict[str, Any]:
    """Return the JSON of a checkpoint. Schedule and sampler are functions of the iteration and need no state."""
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
    """Set ``stepper`` and the random generators to the state of ``checkpoint``.

    Raises:
        UserError: the checkpoint is of another network.
    """
    try:
        stepper.network.load_state_dict(_under(MODEL, checkpoint.tensors))
    except RuntimeError as error:
        raise UserError(f"{folder}: its checkpoint is of another network ({error}). Choose another folder.") from error
    if checkpoint.meta["recipe"].get("optimiser", "sgd") == stepper.recipe.optimiser:  # an extension may bring another
        _restore_momenta(stepper, checkpoint)
    stepper.overflows = checkpoint.meta["overflows"]
    if stepper.scaler and checkpoint.meta["scaler"]:
        stepper.scaler.load_state_dict(checkpoint.meta["scaler"])
    _restore_random(stepper, checkpoint)
    if checkpoint.meta["threads"] != threads:
        message = "%s: resumed with %d threads after %d; the last bits may differ."
        log.warning(message, folder, threads, checkpoint.meta["threads"])


def refuse_another(checkpoint: Checkpoint, recipe: Recipe, seed: int, folder: Path, *, extend: bool) -> None:
    """Refuse a checkpoint that is of another training.

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


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seed torch's, numpy's and Python's generators; each rank gets its own stream."""
    number = (seed + rank * 1_000_003) % 2**32
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


def random_state() -> dict[str, Tensor]:
    """Return the state of every generator, in tensors whose sizes never change.

    >>> state = random_state()
    >>> first = random.random(), np.random.rand(), torch.rand(()).item()
    >>> restore_random_state(state)
    >>> first == (random.random(), np.random.rand(), torch.rand(()).item())
    True
    """
    _, keys, position, has_gauss, gauss = np.random.get_state()
    _, words, python_gauss = random.getstate()
    state = {
        "torch": torch.get_rng_state(),
        "numpy": torch.tensor([*map(int, keys), int(position), int(has_gauss)]),
        "numpy_gauss": torch.tensor(gauss, dtype=torch.float64),
        "python": torch.tensor(words),
        # A flag and a value: NaN for none would make equal states unequal.
        "python_gauss": torch.tensor([python_gauss is not None, python_gauss or 0.0], dtype=torch.float64),
    }
    return state | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else {})


def restore_random_state(state: dict[str, Tensor]) -> None:
    """Set every generator that ``state`` knows and this process has."""
    # Cloned: torch crashes on a tensor that begins in the middle of its memory, as one row of many does.
    torch.set_rng_state(state["torch"].clone())
    *keys, position, has_gauss = state["numpy"].tolist()
    np.random.set_state(("MT19937", np.array(keys, np.uint32), position, has_gauss, state["numpy_gauss"].item()))
    there, gauss = state["python_gauss"].tolist()
    random.setstate((3, tuple(state["python"].tolist()), gauss if there else None))
    if "cuda" in state and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["cuda"].clone())


def _restore_momenta(stepper: Stepper, checkpoint: Checkpoint) -> None:
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
