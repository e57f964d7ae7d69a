"""Rows of a ranking job, kept as they come in its ``rows.jsonl``: Dice by case and path, and what they took."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from c2fnas.files import read_json_lines, write_text

Row = list[float | None] | None
"""Dice per foreground class on one case; None for a path whose logits are not finite."""


@dataclass
class KeptRows:
    """Rows by case and number of the path, and the multiply-accumulates that they took.

    Attributes:
        rows: by case and number.
        naive: each path alone.
        tree: as the paths were walked together.
    """

    rows: dict[tuple[str, int], Row] = field(default_factory=dict)
    naive: int = 0
    tree: int = 0

    def add(self, line: Mapping[str, Any]) -> None:
        """Take the rows of a group of paths on a case."""
        self.rows |= {(line["case"], number): row for number, row in zip(line["paths"], line["rows"], strict=True)}
        naive, tree = line["macs"]
        self.naive, self.tree = self.naive + naive, self.tree + tree


def kept_rows(path: Path, job: Mapping[str, Any], windows: Callable[[], int]) -> tuple[int, KeptRows]:
    """Return the windows at a time and the rows that an earlier call of ``job`` has kept, else ``windows`` and none.

    Another try at a job, with a smaller batch, is the same job. Rows of another one, and a cut line, are removed.
    """
    key = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()
    header, *lines = [*read_json_lines(path)] or [{}]
    if header.get("job") != key or any("paths" not in line for line in lines):
        header, lines = {"job": key, "windows": windows()}, []
    write_text(path, "".join(json.dumps(line) + "\n" for line in [header, *lines]))
    kept = KeptRows()
    for line in lines:
        kept.add(line)
    return header["windows"], kept
