"""A candidate architecture: topology, one operation per cell and a width multiplier, with its JSON and text forms."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from c2fnas.errors import UserError
from c2fnas.space.operation import Operation
from c2fnas.space.topology import Topology

BASE_FILTERS = 64
BASE_STEM_FILTERS = 32
FORMAT = "c2fnas-architecture-1"


@dataclass(frozen=True)
class Architecture:
    """𝒩(s, c): a topology with one operation per cell (paper 3.2); ``width`` scales every filter count (paper 5.3).

    Raises:
        ValueError: the operations don't fit the cells, or the width gives no whole number of filters.

    >>> panc = Architecture.named("c2fnas-panc")
    >>> panc.to_text()
    '0:2D 0:P3D 1:3D 1:3D 2:3D 3:2D 2:3D 2:3D 1:P3D 0:3D 0:2D 0:3D @1'
    >>> Architecture.from_text(panc.to_text()) == panc
    True
    """

    topology: Topology
    operations: tuple[Operation, ...]
    width: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(self.operations))
        object.__setattr__(self, "width", float(self.width))
        if len(self.operations) != self.topology.cells:
            raise ValueError(_miscounted(len(self.operations), self.topology.cells))
        for cell, operation in enumerate(self.operations, start=1):
            if not isinstance(operation, Operation):
                raise ValueError(f"cell {cell}: {operation!r} is no operation; choose among {_choices()}")
        if not 0 < self.width < float("inf") or not (BASE_STEM_FILTERS * self.width).is_integer():
            raise ValueError(f"width {self.width}: 32 × width must be a positive whole number of filters")

    @classmethod
    def uniform(cls, topology: Topology, operation: Operation = Operation.CONV3D, width: float = 1.0) -> Self:
        """Return ``topology`` with the same operation in every cell: c₀ of the coarse stage (paper 3.3)."""
        return cls(topology, (operation,) * topology.cells, width)

    @classmethod
    def named(cls, name: str) -> Self:
        """Return a built-in architecture, such as ``c2fnas-panc``.

        Raises:
            UserError: no architecture has that name.
        """
        if name.lower() not in BUILT_IN:
            raise UserError(f"{name}: no built-in architecture has this name. There is: {', '.join(BUILT_IN)}.")
        return cls.from_text(BUILT_IN[name.lower()])

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """Read an architecture from a name, a JSON file, a run or model folder, or the text form.

        Raises:
            UserError: it is none of these, or has a fault; the message names the file and the cell.
        """
        text = str(source)
        if text.lower() in BUILT_IN:
            return cls.named(text)
        path = _file_of(Path(text))
        if path is None and (missing := _missing(text)):
            raise UserError(f"{text}: not an architecture: {missing}")
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8"))) if path else cls.from_text(text)
        except (OSError, ValueError, RecursionError) as error:
            hint = f" Give a name ({', '.join(BUILT_IN)}), a JSON file, or text such as '0:3D 1:2D 0:3D @1'."
            raise UserError(f"{path or text}: not an architecture: {error}.{'' if path else hint}") from error

    @property
    def stem_filters(self) -> tuple[int, int]:
        """The filters of the stem's two convolutions, at full and at half resolution."""
        return round(BASE_STEM_FILTERS * self.width), round(BASE_FILTERS * self.width)

    def filters(self, level: int) -> int:
        """Return the filters of a cell at ``level``: doubled with every down-sampling (paper 4.1)."""
        return round(BASE_FILTERS * self.width) * 2**level

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value that :meth:`from_json` reads."""
        return {
            "format": FORMAT,
            "code": list(self.topology.code),
            "operations": [operation.value for operation in self.operations],
            "width": self.width,
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read a JSON value.

        Raises:
            ValueError: a key is missing, unknown or wrong; the message names the offending cell.
        """
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ValueError(f'expected an object with "format": "{FORMAT}"')
        unknown = set(value) - {"format", "code", "operations", "width"}
        if unknown or not {"code", "operations"} <= set(value):
            raise ValueError(f"expected the keys code, operations and width, found {', '.join(sorted(value))}")
        if not isinstance(value["code"], list) or not isinstance(value["operations"], list):
            raise ValueError("code and operations are lists with one entry per cell")
        levels = tuple(_level(cell, level) for cell, level in enumerate(value["code"], start=1))
        operations = tuple(_operation(cell, name) for cell, name in enumerate(value["operations"], start=1))
        return cls(Topology(levels), operations, _width(value.get("width", 1.0)))

    def to_text(self) -> str:
        """Return one line that can be typed and compared: level and operation of every cell, then the width."""
        pairs = zip(self.topology.code, self.operations, strict=True)
        # 17 digits tell any two widths apart; :g alone would round 10.03125.
        return " ".join(f"{level}:{operation.value}" for level, operation in pairs) + f" @{self.width:.17g}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read a text form; the width may be left out.

        Raises:
            ValueError: the message names the offending cell.
        """
        *cells, last = text.split() or [""]
        width = 1.0
        if last.startswith("@"):
            width = _width(last[1:])
        else:
            cells.append(last)
        parts = [_cell(number, cell) for number, cell in enumerate(cells, start=1)]
        return cls(Topology(tuple(level for level, _ in parts)), tuple(operation for _, operation in parts), width)


BUILT_IN = {"c2fnas-panc": "0:2D 0:P3D 1:3D 1:3D 2:3D 3:2D 2:3D 2:3D 1:P3D 0:3D 0:2D 0:3D @1"}
"""Architectures by name. C2FNAS-Panc as others have read it off the paper's Figure 5."""


def _file_of(path: Path) -> Path | None:
    """The file itself, or the one of the latest stage in a run or model folder."""
    stages = (path / stage / "architecture.json" for stage in (".", "final", "fine", "coarse"))
    return next((file for file in (path, *stages) if _exists(file) and file.is_file()), None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # the text form of a deep network is too long for a file's name
        return False


def _missing(text: str) -> str | None:
    """The thing that is not there, where ``text`` is a path rather than a text form."""
    if text and _exists(Path(text)):
        return "no architecture.json in this folder. A run has one once its coarse stage has finished."
    if text.endswith(".json") or "/" in text or "\\" in text:
        return "no such file or folder. Correct the path."
    if re.fullmatch(r"[\w.-]*[^\W\d_][\w.-]*", text):  # a word, and no text form
        return (
            f"no such name, file, run or model. Give a name ({', '.join(BUILT_IN)}), a JSON file, a run or model "
            "folder, or text such as '0:3D 1:2D 0:3D @1'."
        )
    return None


def _miscounted(operations: int, cells: int) -> str:
    fault = "missing" if operations < cells else "has an operation, but no level"
    return f"cell {min(operations, cells) + 1}: {fault}; {operations} operations for {cells} cells, give one for each"


def _choices() -> str:
    return ", ".join(operation.value for operation in Operation)


def _cell(number: int, text: str) -> tuple[int, Operation]:
    level, colon, operation = text.partition(":")
    if not colon:
        raise ValueError(f"cell {number}: {text!r} is not of the form level:operation, such as 1:P3D")
    return _level(number, level), _operation(number, operation)


def _level(cell: int, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    raise ValueError(f"cell {cell}: {value!r} is no level; a level is a whole number from 0")


def _operation(cell: int, name: object) -> Operation:
    try:
        return Operation(name)  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f"cell {cell}: {name!r} is no operation; choose among {_choices()}") from None


def _width(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"width: {value!r} is not a number") from None
