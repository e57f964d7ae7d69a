"""Weights on disk: safetensors with a SHA-256 beside them, never pickle."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from c2fnas.errors import UserError
from c2fnas.files import sha256, write_atomically, write_text


def save_weights(path: Path, module: nn.Module) -> None:
    """Write the weights of ``module`` and their checksum."""
    save_tensors(path, dict(module.state_dict()))


def load_weights(path: Path, module: nn.Module) -> None:
    """Load the weights of ``path`` into ``module``.

    Raises:
        UserError: missing, damaged, or not of this network.
    """
    tensors = load_tensors(path)
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(f"{path}: these are weights of another network ({error}).") from error


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write named tensors as safetensors, then the checksum."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, lambda temporary: save_file(whole, temporary))
    write_text(_checksum(path), f"{sha256(path)}  {path.name}\n")


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read named tensors whose checksum fits.

    Raises:
        UserError: missing or damaged.
    """
    try:
        known = _checksum(path).read_text(encoding="utf-8").split()[0]
        if sha256(path) != known:
            raise UserError(f"{path}: damaged, its SHA-256 is not the one beside it. Restore the file from a copy.")
        return load_file(path)
    except (OSError, IndexError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read as weights ({error}).") from error


def _checksum(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
