"""Scores of a job, kept as they come in a file of JSON lines: one that was cut short goes on with the next case.

Its first line holds a SHA-256 of what was asked: what another job has left is removed.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from c2fnas.evaluation.metrics import CaseScores
from c2fnas.files import append_json_line, read_json_lines, write_text

SCORES = "scores.jsonl"

Row = list[float | None] | None
"""Dice per foreground class on one case; None for a path whose logits are not finite."""


class ScoredCases:
    """The scores of a network so far; those of other weights, or that were asked for otherwise, are removed.

    Windows of several small volumes share a batch, so what is left may be batched otherwise: its Dice is the same but
    for rounding.

    Args:
        folder: of the job.
        asked: what is scored and how, as JSON.
        network: whose weights they are of.

    Raises:
        UserError: the disk is full or the folder can't be written.
    """

    def __init__(self, folder: Path, asked: Mapping[str, Any], network: nn.Module) -> None:
        self._path = folder / SCORES
        _, rows = _kept(self._path, "key", _sha256(asked, network), needs="dice")
        self.known = {row["case"]: CaseScores.from_json(row) for row in rows}

    def add(self, scores: CaseScores) -> None:
        """Keep those of a case.

        Raises:
            UserError: the disk is full or the folder can't be written.
        """
        append_json_line(self._path, scores.to_json())

    def forget(self) -> None:
        """Remove the file, once an evaluation holds them all."""
        self._path.unlink(missing_ok=True)


@dataclass
class KeptRows:
    """Rows of a ranking job by case and number of the path, and the multiply-accumulates that they took.

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
    header, lines = _kept(path, "job", _sha256(job), needs="paths", more=lambda: {"windows": windows()})
    kept = KeptRows()
    for line in lines:
        kept.add(line)
    return header["windows"], kept


def _kept(
    path: Path, name: str, key: str, *, needs: str, more: Callable[[], dict[str, Any]] = dict
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The header of a file and its lines, if it has ``key`` by this name; else a new one, with ``more``, and none.

    They are written at once, so that the next line can be appended. A file with a line that lacks ``needs`` is new.
    """
    header, *lines = [*read_json_lines(path)] or [{}]
    if header.get(name) != key or not all(needs in line for line in lines):
        header, lines = {name: key, **more()}, []
    write_text(path, "".join(json.dumps(line) + "\n" for line in [header, *lines]))
    return header, lines


def _sha256(asked: Mapping[str, Any], network: nn.Module | None = None) -> str:
    """The hash of what was asked, and of the weights of the network that answers."""
    found = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    for name, tensor in sorted(network.state_dict().items()) if network is not None else ():
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
