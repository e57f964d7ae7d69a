"""The rows of a table of topologies, one for each training, as a CSV file that anyone can read."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2fnas.errors import UserError
from c2fnas.files import write_text
from c2fnas.space.topology import Topology
from c2fnas.text import as_csv

_RUNG = "dice_at_"
_CLASS = "dice_of_"
_FORMATS = {"dice": ".6f", "seconds": ".2f"}


@dataclass(frozen=True)
class Row:
    """One training of a topology.

    Attributes:
        cluster: of K-means on the codes of the whole space.
        dice: mean whole-volume Dice in [0, 1] at the end; None where the training failed.
        rungs: the same at iterations before the end.
        per_class: the same at the end, class by class.
        seconds: processor time of the training and of all its validations.
    """

    topology: Topology
    cluster: int
    seed: int
    dice: float | None
    rungs: dict[int, float]
    per_class: dict[str, float]
    seconds: float
    parameters: int
    macs: int

    @property
    def key(self) -> tuple[Topology, int]:
        """Topology and seed, which no two rows of a table share."""
        return self.topology, self.seed


def read_table(path: Path) -> tuple[Row, ...]:
    """Read the rows of a table.

    Raises:
        UserError: it is not there, or a line has a fault; the message names it.
    """
    try:
        lines = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({why}). `c2fnas tabulate` makes one.") from error
    rows: dict[tuple[Topology, int], Row] = {}
    for number, line in enumerate(lines, start=2):
        try:
            row = _row(line)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}, line {number}: not a line of a table of topologies ({error!r}).") from error
        if row.key in rows:
            raise UserError(f"{path}, line {number}: another line has this topology and seed; remove one.")
        rows[row.key] = row
    return tuple(rows.values())


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Write a table in one go: a crash leaves the old file or the new one."""
    lines = ({name: _text(name, value) for name, value in columns(row).items()} for row in rows)
    write_text(path, as_csv(lines))


def columns(row: Row) -> dict[str, Any]:
    """Return the columns of a row by name."""
    return {
        "code": " ".join(map(str, row.topology.code)),
        "cluster": row.cluster,
        "seed": row.seed,
        "dice": row.dice,
        **{f"{_RUNG}{iteration}": dice for iteration, dice in row.rungs.items()},
        "parameters": row.parameters,
        "macs": row.macs,
        "seconds": row.seconds,
        **{f"{_CLASS}{name}": dice for name, dice in row.per_class.items()},
    }


def _text(name: str, value: Any) -> str:
    return "" if value is None else format(value, _FORMATS.get(name.partition("_")[0], ""))


def _row(line: dict[str, str]) -> Row:
    return Row(
        topology=Topology(tuple(map(int, line["code"].split()))),
        cluster=int(line["cluster"]),
        seed=int(line["seed"]),
        dice=_dice(line["dice"]) if line["dice"] else None,
        rungs={int(name.removeprefix(_RUNG)): dice for name, dice in _columns(line, _RUNG)},
        per_class={name.removeprefix(_CLASS): dice for name, dice in _columns(line, _CLASS)},
        seconds=float(line["seconds"]),
        parameters=int(line["parameters"]),
        macs=int(line["macs"]),
    )


def _columns(line: dict[str, str], prefix: str) -> list[tuple[str, float]]:
    return [(name, _dice(text)) for name, text in line.items() if name.startswith(prefix) and text]


def _dice(text: str) -> float:
    dice = float(text)
    if not 0 <= dice <= 1:
        raise ValueError(f"a Dice is within [0, 1], not {text}")
    return dice
