"""Weights on disk: safetensors with a SHA-256 beside them, never pickle."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from c2fnas.errors import UserError
from c2fnas.files import write_atomically, write_text
from c2fnas.text import some


@dataclass(frozen=True)
class Transfer:
    """Names of tensors: loaded, unused in the file, and left in the network as they were."""

    loaded: tuple[str, ...]
    unused: tuple[str, ...]
    left: tuple[str, ...]


def save_weights(path: Path, module: nn.Module) -> None:
    """Write the weights of ``module``, and their checksum beside them.

    Raises:
        UserError: the disk is full or the folder can't be written.
    """
    checksum = write_tensors(path, module.state_dict())
    write_text(_checksum(path), f"{checksum}  {path.name}\n")


def load_weights(path: Path, module: nn.Module) -> None:
    """Load the weights of ``path`` into ``module``.

    Raises:
        UserError: missing, damaged, or not of this network.
    """
    tensors = read_tensors(path, _known_checksum(path))
    plan = compare(tensors, module)
    if plan.unused or plan.left:
        unused, left = (some(names) or "none" for names in (plan.unused, plan.left))
        raise UserError(
            f"{path}: these are weights of another network: {len(plan.unused)} tensors have no place in this one (such "
            f"as {unused}), {len(plan.left)} of its own are missing (such as {left}). Give the architecture, the "
            "number of channels and the number of classes that they were trained with."
        )
    module.load_state_dict(tensors)


def compare(tensors: Mapping[str, Tensor], module: nn.Module) -> Transfer:
    """Return the transfer that :func:`transfer` would make; tensors and module may lie on the meta device."""
    own = module.state_dict()
    fitting = [name for name, value in tensors.items() if name in own and own[name].shape == value.shape]
    return Transfer(
        loaded=tuple(sorted(fitting)),
        unused=tuple(sorted(tensors.keys() - set(fitting))),
        left=tuple(sorted(own.keys() - set(fitting))),
    )


def transfer(tensors: Mapping[str, Tensor], module: nn.Module) -> Transfer:
    """Give ``module`` the tensors whose name and shape fit: on other channels or classes, all but the outermost."""
    plan = compare(tensors, module)
    module.load_state_dict({name: tensors[name] for name in plan.loaded}, strict=False)
    return plan


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write named tensors as safetensors and return the SHA-256."""
    # Tied tensors are written twice: safetensors refuses two names for one memory.
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    data = save(whole)
    write_atomically(path, lambda temporary: temporary.write_bytes(data))
    return hashlib.sha256(data).hexdigest()


def read_tensors(path: Path, checksum: str | None) -> dict[str, Tensor]:
    """Read named tensors and check that their SHA-256 is ``checksum``; None where it is not known.

    Raises:
        UserError: missing or damaged.
    """
    try:
        data = path.read_bytes()
        if checksum is not None and hashlib.sha256(data).hexdigest() != checksum:
            raise UserError(f"{path}: damaged, its SHA-256 is not the one written down. Restore the file from a copy.")
        return load(data)
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as weights ({error}).") from error


def _known_checksum(path: Path) -> str:
    try:
        return _checksum(path).read_text(encoding="utf-8").split()[0]
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{_checksum(path)}: the checksum of the weights cannot be read ({error}).") from error


def _checksum(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
