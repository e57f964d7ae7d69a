"""What kinds of network a model package can hold; each kind has a file that names it and says how to build it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from c2fnas.errors import UserError
from c2fnas.files import read_json
from c2fnas.networks import build_network
from c2fnas.space.architecture import Architecture


class Design(Protocol):
    """A frozen value that a network can be built from."""

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


KINDS: tuple[Kind, ...] = (Kind("architecture.json", Architecture, Architecture.from_json, build_network),)


def kind_of(design: Design) -> Kind:
    """The kind that ``design`` is of.

    Raises:
        TypeError: none.
    """
    for kind in KINDS:
        if isinstance(design, kind.type):
            return kind
    raise TypeError(f"{type(design).__name__} is no design that a package can hold")


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
