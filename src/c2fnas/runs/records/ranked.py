"""The ranked candidates of the fine stage: rows of ``fine/candidates.jsonl``, written together when all are scored."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from c2fnas.errors import UserError
from c2fnas.files import read_json, write_json, write_text
from c2fnas.runs.folder import RunFolder
from c2fnas.space.architecture import Architecture


@dataclass(frozen=True)
class RankedPath:
    """A candidate of the fine stage, scored with the super-network's weights (paper Eq. 7).

    Attributes:
        number: from 0: finalists first, best first.
        dice: mean whole-volume Dice over ``cases`` validation cases; None where it has failed. One outside [0, 1],
            not-a-number among them, is a failure.
        first_rung_dice: the same over the first rung's ``first_rung_cases``, which all candidates share; None where it
            has failed or, with a ranking of version 0.1.0, was not kept.
        macs: multiply-accumulates of one patch.
        front: True for a finalist on the Pareto front of Dice and costs.
        latency_ms: milliseconds of one patch on the user's device; None where not measured.
        memory: bytes that the final network's training takes, as predicted; None of runs of earlier versions.
        device: where it was scored last.
        reason: why it failed, else None.
    """

    number: int
    architecture: Architecture
    dice: float | None
    cases: int
    macs: int
    parameters: int
    front: bool = False
    first_rung_dice: float | None = None
    first_rung_cases: int | None = None
    latency_ms: float | None = None
    memory: int | None = None
    device: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.dice is not None and not 0 <= self.dice <= 1:
            object.__setattr__(self, "reason", self.reason or f"The score {self.dice} is not within [0, 1].")
            object.__setattr__(self, "dice", None)


@dataclass(frozen=True)
class Limits:
    """The most that the architecture may cost: multiply-accumulates of a patch, its milliseconds, bytes of a training.

    >>> Limits(max_macs=2e9, max_memory=2**31).options
    ('--max-macs 2e+09', '--max-memory 2048M')
    """

    max_macs: float | None = None
    max_latency: float | None = None
    max_memory: float | None = None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the limits that were kept last; none where no file is."""
        return cls(**read_json(path)) if path.exists() else cls()

    def save(self, path: Path) -> None:
        """Keep them."""
        write_json(path, asdict(self))

    def admit(self, candidate: RankedPath) -> bool:
        """Return true if a candidate costs no more; false where what is limited was not measured or predicted."""
        pairs = (
            (candidate.macs, self.max_macs),
            (candidate.latency_ms, self.max_latency),
            (candidate.memory, self.max_memory),
        )
        return all(most is None or (amount is not None and amount <= most) for amount, most in pairs)

    @property
    def options(self) -> tuple[str, ...]:
        """The limits that are given, as options of the command line."""
        given = {
            "--max-macs": self.max_macs and f"{self.max_macs:g}",
            "--max-latency": self.max_latency and f"{self.max_latency:g}",
            "--max-memory": self.max_memory and f"{self.max_memory / 2**20:.4g}M",
        }
        return tuple(f"{name} {text}" for name, text in given.items() if text is not None)


def write_ranked(folder: RunFolder, rows: Iterable[RankedPath]) -> None:
    """Write all candidates of a run, atomically; the file is whole or absent.

    Raises:
        UserError: the disk is full or the folder can't be written.
    """
    lines = [json.dumps(asdict(row) | {"architecture": row.architecture.to_text()}, allow_nan=False) for row in rows]
    write_text(folder.candidates, "".join(f"{line}\n" for line in lines))


def read_ranked(folder: RunFolder) -> tuple[RankedPath, ...]:
    """Return the candidates of a run in the order of their numbers; none before they are ranked.

    Raises:
        UserError: the file is damaged, or holds fewer candidates than were ranked.
    """
    wanted = read_json(folder.ranking_file)["candidates"] if folder.ranking_file.exists() else None
    lines = folder.candidates.read_bytes().splitlines() if folder.candidates.exists() else []
    try:
        rows = tuple(_row(json.loads(line)) for line in lines)
    except (ValueError, TypeError, KeyError, AttributeError):
        rows, wanted = (), wanted or "its"
    if wanted is not None and len(rows) != wanted:
        raise UserError(
            f"{folder.candidates}: damaged, not all of {wanted} candidates can be read. Give `c2fnas search fine "
            f"{folder.root}` again: it writes them from the scores that the run holds."
        )
    return rows


def ranking_is_whole(folder: RunFolder) -> bool:
    """True if the candidates were ranked and all of them can be read."""
    try:
        return folder.ranking_file.exists() and bool(read_ranked(folder))
    except UserError:
        return False


def _row(values: dict) -> RankedPath:
    return RankedPath(**values | {"architecture": Architecture.from_text(values["architecture"])})
