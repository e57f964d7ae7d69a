"""What kinds of network a model package can hold; each kind has a file that names it and says how to build it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from c2fnas.errors import UserError
from c2fnas.files import read_json
from c2fnas.networks import build_network
from c2fnas.networks.baselines import Baseline, build_baseline
from c2fnas.space.architecture import Architecture


class Design(Protocol):
    """A frozen value that a network can be built from."""

    @property
    def width(self) -> float:
        """What its filter counts are multiplied by."""

    def to_text(self) -> str:
        """One line, for people."""

    def to_json(self) -> dict[str, Any]:
        """The design as JSON."""


@dataclass(frozen=True)
class Kind:
    """A kind of design. A new one is an entry of :data:`KINDS`.

    Args:
        file: Its file in a package.
        type: The class of its designs.
        read: JSON to a design; raises ValueError.
        build: ``(design, in_channels=..., classes=...)`` to a network.
    """

    file: str
    type: type
    read: Callable[[Any], Any]
    build: Callable[..., nn.Module]


KINDS: tuple[Kind, ...] = (
    Kind("architecture.json", Architecture, Architecture.from_json, build_network),
    Kind("network.json", Baseline, Baseline.from_json, build_baseline),
)


def kind_of(design: Design) -> Kind:
    """The kind that ``design`` is of.

    Raises:
        TypeError: none.
    """
    for kind in KINDS:
        if isinstance(design, kind.type):
            return kind
    raise TypeError(f"{type(design).__name__} is no design that a package can hold")


def build_design(design: Design, *, in_channels: int, classes: int) -> nn.Module:
    """The network of a design of any kind; ``classes`` counts the background."""
    return kind_of(design).build(design, in_channels=in_channels, classes=classes)


def design_of(value: Any) -> Design:
    """The design that :meth:`Design.to_json` has given, of whatever kind.

    Raises:
        ValueError: none of them.

    >>> design_of(Baseline("vnet", 0.5).to_json())
    Baseline(name='vnet', width=0.5)
    """
    network = isinstance(value, dict) and "network" in value
    return Baseline.from_json(value) if network else Architecture.from_json(value)


def has_design(folder: Path) -> bool:
    """Whether a design of some kind lies in ``folder``."""
    return any((folder / kind.file).is_file() for kind in KINDS)


def read_design(folder: Path) -> tuple[Kind, Design]:
    """The design in a package's folder.

    Raises:
        UserError: there is none, or it has a fault.
    """
    for kind in KINDS:
        path = folder / kind.file
        if path.is_file():
            value = read_json(path)
            try:
                return kind, kind.read(value)
            except ValueError as error:
                raise UserError(f"{path}: {error}. Restore the file from a copy of the model.") from error
    files = " or ".join(kind.file for kind in KINDS)
    raise UserError(f"{folder}: not a model package: no {files} in it.")
