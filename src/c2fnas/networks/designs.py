"""Designs: the values that a network is built from, each kind in a JSON file of its own name."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2fnas.errors import UserError
from c2fnas.files import read_json
from c2fnas.networks.baselines import Baseline, build_baseline
from c2fnas.space.architecture import Architecture

if TYPE_CHECKING:
    from torch import nn

Design = Architecture | Baseline
FILES: dict[str, type[Architecture] | type[Baseline]] = {"architecture.json": Architecture, "network.json": Baseline}
"""The file of each kind of design in a run or model folder."""


def design_file(design: Design) -> str:
    """Return the name of the file that holds ``design``.

    Raises:
        TypeError: it is of no kind that a model can have.

    >>> design_file(Baseline("vnet"))
    'network.json'
    """
    for name, kind in FILES.items():
        if isinstance(design, kind):
            return name
    raise TypeError(f"{type(design).__name__} is no design that a package can hold")


def build_design(design: Design, *, in_channels: int, classes: int) -> "nn.Module":
    """Build the network of a design of any kind; ``classes`` counts the background."""
    if isinstance(design, Baseline):
        return build_baseline(design, in_channels=in_channels, classes=classes)
    from c2fnas.networks.network import build_network

    return build_network(design, in_channels=in_channels, classes=classes)


def design_from_json(value: Any) -> Design:
    """Read the JSON of a design of any kind.

    Raises:
        ValueError: it is none.

    >>> design_from_json(Baseline("vnet", 0.5).to_json())
    Baseline(name='vnet', width=0.5, levels=())
    """
    baseline = isinstance(value, dict) and "network" in value
    return Baseline.from_json(value) if baseline else Architecture.from_json(value)


def has_design(folder: Path) -> bool:
    """True if a design lies in ``folder``."""
    return any((folder / name).is_file() for name in FILES)


def first_design(*folders: Path) -> Design | None:
    """Return the design in the first folder that has one; None where none has.

    Raises:
        UserError: it has a fault.
    """
    return next((read_design(folder) for folder in folders if has_design(folder)), None)


def read_design(folder: Path) -> Design:
    """Read the design in a folder.

    Raises:
        UserError: there is none, or it has a fault.
    """
    for path in (folder / name for name in FILES):
        if path.is_file():
            try:
                return FILES[path.name].from_json(read_json(path))
            except ValueError as error:
                raise UserError(f"{path}: {error}. Restore the file from a copy of the model.") from error
    raise UserError(f"{folder}: not a model package: no {' or '.join(FILES)} in it.")
