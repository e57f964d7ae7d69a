"""Checkpoints: whole or absent, checked before they are trusted, the two newest kept."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from c2fnas.errors import UserError
from c2fnas.files import read_json, write_json
from c2fnas.training.weights import read_tensors, write_tensors

KEPT = 2
FOLDER = "checkpoints"
NOTHING_SAVED = "No checkpoint had been written yet."
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after ``iteration`` iterations."""

    iteration: int
    tensors: dict[str, Tensor]
    meta: dict[str, Any]


def save_checkpoint(folder: Path, iteration: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write a checkpoint, then remove all but it and the one before. The JSON comes last: without it there is none.

    Raises:
        UserError: the disk is full; the checkpoints before are intact, and it says which.
    """
    _clear_leftovers(folder)
    try:
        checksum = write_tensors(_weights(folder, iteration), tensors)
        write_json(_facts(folder, iteration), {"iteration": iteration, "sha256": checksum, "meta": dict(meta)})
    except UserError as error:
        kept = [number for number in _iterations(folder) if number < iteration]
        raise UserError(f"{error} {_carry_on(kept[-1]) if kept else NOTHING_SAVED}") from error
    found = _iterations(folder)
    passed_over = [number for number in found if number > iteration]  # damaged: a whole one would have been taken up
    for number in passed_over + [number for number in found if number <= iteration][:-KEPT]:
        _remove(folder, number)


def load_newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole; a damaged one is passed over with a warning. None where there is none."""
    found = _iterations(folder)
    for iteration in reversed(found):
        try:
            return _load(folder, iteration)
        except UserError as error:
            log.warning("%s Falling back to the checkpoint before.", error)
    if found:
        log.warning("%s: no checkpoint is whole; the training starts anew.", folder)
    return None


def forget_checkpoints(folder: Path, keep: int = 0) -> None:
    """Remove the checkpoints of a finished training but the ``keep`` newest; without any it can't be extended."""
    found = _iterations(folder / FOLDER)
    for iteration in found[: max(0, len(found) - keep)]:
        _remove(folder / FOLDER, iteration)
    _clear_leftovers(folder / FOLDER)


def has_checkpoint(folder: Path) -> bool:
    """Whether the training in ``folder`` has left a checkpoint, whole or not."""
    return bool(_iterations(folder / FOLDER))


def _load(folder: Path, iteration: int) -> Checkpoint:
    path = _facts(folder, iteration)
    facts = read_json(path)
    try:
        checksum, number, meta = str(facts["sha256"]), int(facts["iteration"]), dict(facts["meta"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not what a checkpoint says of itself ({error!r}).") from error
    return Checkpoint(number, read_tensors(_weights(folder, iteration), checksum), meta)


def _carry_on(iteration: int) -> str:
    return f"The checkpoint after iteration {iteration} is intact, and the same command carries on from it."


def _iterations(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.json") if path.stem.isdigit())


def _weights(folder: Path, iteration: int) -> Path:
    return folder / f"{iteration:07d}.safetensors"


def _facts(folder: Path, iteration: int) -> Path:
    return folder / f"{iteration:07d}.json"


def _remove(folder: Path, iteration: int) -> None:
    """The JSON goes first, as it came last."""
    _facts(folder, iteration).unlink(missing_ok=True)
    _weights(folder, iteration).unlink(missing_ok=True)


def _clear_leftovers(folder: Path) -> None:
    """Remove what a kill in the middle of a write, or between the two files, has left."""
    known = set(_iterations(folder))
    for path in [*folder.glob(".*.safetensors"), *folder.glob(".*.json"), *folder.glob("*.safetensors")]:
        if path.name.startswith(".") or (path.stem.isdigit() and int(path.stem) not in known):
            path.unlink(missing_ok=True)
