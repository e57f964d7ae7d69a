"""Scores of a job's cases, kept as they come in its ``scores.jsonl``: one that was cut short goes on with the next.

Windows of several small volumes share a batch, so what is left may be batched otherwise: its Dice is the same but for
rounding.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from c2fnas.evaluation.metrics import CaseScores
from c2fnas.files import append_json_line, read_json_lines, write_text

SCORES = "scores.jsonl"


class ScoredCases:
    """The scores of a network so far; those of other weights, or that were asked for otherwise, are removed.

    Args:
        folder: of the job.
        asked: what is scored and how, as JSON.
        network: whose weights they are of.

    Raises:
        UserError: the disk is full or the folder can't be written.
    """

    def __init__(self, folder: Path, asked: Mapping[str, Any], network: nn.Module) -> None:
        self._path, key = folder / SCORES, _key(asked, network)
        header, *rows = [*read_json_lines(self._path)] or [{}]
        if header.get("key") != key or not all("dice" in row for row in rows):
            rows = []
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in [{"key": key}, *rows]))
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


def _key(asked: Mapping[str, Any], network: nn.Module) -> str:
    found = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    for name, tensor in sorted(network.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
