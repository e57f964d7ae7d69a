"""Checkpoints: whole or absent, checked when they are loaded, the two newest kept."""

import hashlib
import json
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
_INTACT = "The checkpoint after iteration {} is intact, and the same command carries on from it."
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after ``iteration`` iterations."""

    iteration: int
    tensors: dict[str, Tensor]
    meta: dict[str, Any]


def save_checkpoint(folder: Path, iteration: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write a checkpoint, then remove all but it and the one before. The JSON is written last and makes it valid.

    Raises:
        UserError: the disk is full; the message names the newest checkpoint before, which is intact.
    """
    _clear_leftovers(folder)
    try:
        content = {"iteration": iteration, "weights": write_tensors(_weights(folder, iteration), tensors)}
        content |= {"meta": json.loads(json.dumps(dict(meta)))}
        write_json(_meta(folder, iteration), {**content, "sha256": _digest(content)})
    except UserError as error:
        kept = [number for number in _iterations(folder) if number < iteration]
        raise UserError(f"{error} {_INTACT.format(kept[-1]) if kept else NOTHING_SAVED}") from error
    found = _iterations(folder)
    damaged = [number for number in found if number > iteration]  # else the training would have resumed from it
    for number in damaged + [number for number in found if number <= iteration][:-KEPT]:
        _remove(folder, number)


def load_newest(folder: Path) -> Checkpoint | None:
    """Load the newest whole checkpoint, or return None if there is none; a damaged one is skipped with a warning.

    Raises:
        UserError: one that may be whole can't be read at the moment.
    """
    found = _iterations(folder)
    for iteration in reversed(found):
        try:
            return _load(folder, iteration)
        except UserError as error:
            _refuse_unread(error)
            log.warning("%s Falling back to the checkpoint before.", error)
    if found:
        log.warning("%s: no checkpoint is whole; the training starts from the beginning.", folder)
    return None


def _refuse_unread(error: UserError) -> None:
    """Refuse to pass over a checkpoint that could not be read just now, and may be whole: it would be overwritten."""
    cause = error.__cause__
    if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
        raise UserError(
            f"{error} It may be whole: give the same command again. If it stays so, delete it, and the training "
            "carries on from the one before, if there is one."
        ) from error


def forget_checkpoints(folder: Path, keep: int = 0) -> None:
    """Remove the checkpoints of a finished training but the ``keep`` newest; without one it can't be extended."""
    found = _iterations(folder / FOLDER)
    for iteration in found[: max(0, len(found) - keep)]:
        _remove(folder / FOLDER, iteration)
    _clear_leftovers(folder / FOLDER)


def has_checkpoint(folder: Path) -> bool:
    """True if the training in ``folder`` has left a checkpoint, whole or not."""
    return bool(_iterations(folder / FOLDER))


def _load(folder: Path, iteration: int) -> Checkpoint:
    path = _meta(folder, iteration)
    content = read_json(path)
    if not isinstance(content, dict) or "sha256" not in content:
        raise UserError(f"{path}: not the JSON of a checkpoint.")
    checksum = content.pop("sha256")
    if "weights" not in content:  # as written until November 2026: the checksum is that of the weights
        content["weights"] = checksum
    elif checksum != _digest(content):
        raise UserError(f"{path}: damaged, its SHA-256 is another one.")
    if content.get("iteration") != iteration or not isinstance(content.get("meta"), dict):
        raise UserError(f"{path}: not the JSON of that checkpoint.")
    return Checkpoint(iteration, read_tensors(_weights(folder, iteration), str(content["weights"])), content["meta"])


def _digest(content: Mapping[str, Any]) -> str:
    """The SHA-256 of a checkpoint's JSON, with which that of its weights is safe, too."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _iterations(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.json") if path.stem.isdigit())


def _weights(folder: Path, iteration: int) -> Path:
    return folder / f"{iteration:07d}.safetensors"


def _meta(folder: Path, iteration: int) -> Path:
    return folder / f"{iteration:07d}.json"


def _remove(folder: Path, iteration: int) -> None:
    # the JSON first, which makes it valid
    _meta(folder, iteration).unlink(missing_ok=True)
    _weights(folder, iteration).unlink(missing_ok=True)


def _clear_leftovers(folder: Path) -> None:
    """Remove the files that a kill during a write, or between the two files, has left."""
    known = set(_iterations(folder))
    for path in [*folder.glob(".*.safetensors"), *folder.glob(".*.json"), *folder.glob("*.safetensors")]:
        if path.name.startswith(".") or (path.stem.isdigit() and int(path.stem) not in known):
            path.unlink(missing_ok=True)
