"""The third stage as a report needs it: the rows of its table."""

from dataclasses import dataclass

from c2fnas.files import read_json
from c2fnas.inference.metrics import ByClass
from c2fnas.runs.folder import RunFolder

TABLE = "table.json"


@dataclass(frozen=True)
class Width:
    """A row of Table 4: a width at a patch, the cost of one patch, and Dice; None where it failed, for ``reason``."""

    width: float
    patch: tuple[int, int, int]
    parameters: int
    macs: int
    dice: float | None
    per_class: ByClass | None
    reason: str | None


def read_widths(folder: RunFolder) -> tuple[Width, ...]:
    """The rows of ``scale/table.json``; none where no widths were trained."""
    path = folder.scale / TABLE
    rows = read_json(path) if path.exists() else []
    return tuple(Width(**{**row, "patch": tuple(row["patch"])}) for row in rows)
