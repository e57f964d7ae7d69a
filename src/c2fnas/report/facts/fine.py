"""The fine stage as a report needs it: candidates, sampling, the effect of operations, and how far to trust a rank."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from c2fnas.data.plan import Plan
from c2fnas.files import read_json
from c2fnas.report.facts.jobs import result_of
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.ranked import RankedPath, read_ranked
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import NetworkCost, network_cost
from c2fnas.space.operation import Operation

CONFIDENCE = 1.96


@dataclass(frozen=True)
class Candidate:
    """A ranked path: its Dice with the super-network's weights over ``cases`` cases, and what it costs.

    ``macs`` are of one patch. ``latency`` is in ms, of those
    that were measured. ``first`` is the Dice on the first rung's cases and how many these are; None where an earlier
    version has not kept it.
    """

    architecture: Architecture
    dice: float
    cases: int
    macs: int
    parameters: int
    latency: float | None
    first: tuple[float, int] | None = None


@dataclass(frozen=True)
class Effect:
    """What a cell's operation does to the Dice: the mean of candidates that have it, less the mean of all.

    ``half_width`` is half of the mean's 95 % interval; None with fewer than two candidates. ``cell`` counts from 1.
    """

    cell: int
    operation: Operation
    candidates: int
    mean: float
    half_width: float | None


@dataclass(frozen=True)
class FineFacts:
    """The fine stage of a run.

    Attributes:
        candidates: with a score, those on the most cases first, then by Dice.
        chosen: the architecture that the stage has chosen; None before its end.
        sampling: how often each cell (row) trained each operation (column); None before the super-network is trained.
        operations: the columns of ``sampling``.
        summary: of the ranking, its rungs and audit, as ``fine/ranking.json`` has it; empty where there is none.
        verification: retrained candidates, as ``fine/verification.json`` has them; None where none were retrained.
    """

    candidates: tuple[Candidate, ...]
    chosen: Architecture | None
    sampling: tuple[tuple[int, ...], ...] | None
    operations: tuple[Operation, ...]
    summary: dict[str, Any]
    verification: dict[str, Any] | None

    @property
    def finalists(self) -> tuple[Candidate, ...]:
        """The candidates that were scored on the most cases: their Dice can be compared."""
        most = max((each.cases for each in self.candidates), default=0)
        return tuple(each for each in self.candidates if each.cases == most)

    @property
    def audit(self) -> dict[str, Any]:
        """How far the rungs of the ranking agree with a full one; empty where that was not looked into."""
        return self.summary.get("audit") or {}

    @property
    def comparable(self) -> tuple[Candidate, ...]:
        """All candidates on one scale, the first rung's cases; where that was not kept, the finalists on theirs.

        A mean over few cases says nothing beside one over others: candidates that were dropped early would look good
        or bad by the cases alone.
        """
        known = [(each, each.first) for each in self.candidates if each.first is not None]
        if len(known) < len(self.candidates):
            return self.finalists
        return tuple(replace(each, dice=dice, cases=cases) for each, (dice, cases) in known)

    @property
    def tells_apart(self) -> bool:
        """Whether the super-network gives more than one Dice, where there are several candidates to compare."""
        return len({each.dice for each in self.comparable}) > 1 or len(self.comparable) == 1


def read_fine(folder: RunFolder, config: RunConfig) -> FineFacts:
    """The fine stage of a run, begun or not."""
    known = [_candidate(row) for row in read_ranked(folder) if row.dice is not None]
    chosen, summary, verified = folder.fine / "architecture.json", folder.ranking_file, folder.verification_file
    trained = result_of(folder.supernet)
    return FineFacts(
        candidates=tuple(sorted(known, key=lambda each: (-each.cases, -each.dice))),
        chosen=Architecture.load(chosen) if chosen.exists() else None,
        sampling=tuple(map(tuple, trained["sampling"])) if trained else None,
        operations=config.operations,
        summary=read_json(summary) if summary.exists() else {},
        verification=read_json(verified) if verified.exists() else None,
    )


def operation_effects(candidates: Sequence[Candidate], operations: Sequence[Operation]) -> list[Effect]:
    """The marginal effect of every operation in every cell, over ``candidates``.

    Averages over the other cells, which random candidates draw independently; it says nothing of how operations of
    two cells act together.
    """
    if not candidates:
        return []
    overall = fmean(each.dice for each in candidates)
    cells = range(len(candidates[0].architecture.operations))
    found = []
    for cell in cells:
        for operation in operations:
            dice = [each.dice for each in candidates if each.architecture.operations[cell] is operation]
            if dice:
                half = CONFIDENCE * stdev(dice) / math.sqrt(len(dice)) if len(dice) > 1 else None
                found.append(Effect(cell + 1, operation, len(dice), fmean(dice) - overall, half))
    return found


def patch_cost(architecture: Architecture, plan: Plan) -> NetworkCost:
    """What one patch of the plan costs."""
    return network_cost(
        architecture, in_channels=len(plan.channels), classes=len(plan.classes), input_size=plan.patch_size
    )


def _candidate(row: RankedPath) -> Candidate:
    assert row.dice is not None
    first = None
    if row.first_rung_dice is not None and row.first_rung_cases is not None:
        first = (row.first_rung_dice, row.first_rung_cases)
    return Candidate(row.architecture, row.dice, row.cases, row.macs, row.parameters, row.latency_ms, first)
