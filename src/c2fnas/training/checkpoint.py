"""Checkpoints: whole or absent, checked before they are trusted, the two newest kept."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from c2fnas.errors import UserError
from c2fnas.files import read_json, sha256, write_json
from c2fnas.training.weights import load_tensors, save_tensors

KEPT = 2
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after ``iteration`` iterations."""

    iteration: int
    tensors: dict[str, Tensor]
    meta: dict[str, Any]


def save_checkpoint(folder: Path, iteration: int, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write a checkpoint, then remove all but the two newest. The JSON comes last: without it there is no checkpoint."""
    weights = _weights(folder, iteration)
    save_tensors(weights, tensors)
    write_json(_meta(folder, iteration), {"iteration": iteration, "sha256": sha256(weights), "meta": meta})
    for old in _iterations(folder)[:-KEPT]:
        _remove(folder, old)


def load_newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole; a damaged one is passed over with a warning. None where there is none."""
    for iteration in reversed(_iterations(folder)):
        try:
            return _load(folder, iteration)
        except UserError as error:
            log.warning("%s Falling back to the checkpoint before.", error)
    return None


def forget_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a finished training; its weights are elsewhere."""
    for iteration in _iterations(folder / "checkpoints"):
        _remove(folder / "checkpoints", iteration)


def _load(folder: Path, iteration: int) -> Checkpoint:
    facts = read_json(_meta(folder, iteration))
    weights = _weights(folder, iteration)
    tensors = load_tensors(weights)
    if sha256(weights) != facts.get("sha256"):
        raise UserError(f"{weights}: its SHA-256 is not the one its checkpoint names.")
    return Checkpoint(facts["iteration"], tensors, facts["meta"])


def _iterations(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.json") if path.stem.isdigit())


def _weights(folder: Path, iteration: int) -> Path:
    return folder / f"{iteration:07d}.safetensors"


def _meta(folder: Path, iteration: int) -> Path:
    return folder / f"{iteration:07d}.json"


def _remove(folder: Path, iteration: int) -> None:
    _meta(folder, iteration).unlink(missing_ok=True)
    weights = _weights(folder, iteration)
    weights.unlink(missing_ok=True)
    weights.with_name(weights.name + ".sha256").unlink(missing_ok=True)
