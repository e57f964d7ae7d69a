"""The fine stage as a report shows it: candidates, sampling, effects of operations, and trust in the ranking."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from c2fnas.data.plan import Plan
from c2fnas.files import read_json
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.records.job_record import read_job
from c2fnas.runs.records.ranked import RankedPath, read_ranked
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import NetworkCost, network_cost
from c2fnas.space.operation import Operation

CONFIDENCE = 1.96


@dataclass(frozen=True)
class Effect:
    """The effect of a cell's operation on the Dice: the mean of candidates that have it, minus the mean of all.

    ``half_width`` is half of the mean's 95 % interval; None with fewer than two candidates. ``cell`` counts from 1.
    """

    cell: int
    operation: Operation
    candidates: int
    mean: float
    half_width: float | None


@dataclass(frozen=True)
class FineSummary:
    """The fine stage of a run.

    Attributes:
        candidates: with a score, those on the most cases first, then by Dice.
        chosen: the architecture that the stage has chosen; None before its end.
        sampling: how often each cell (row) trained each operation (column); None before the super-network is trained.
        operations: the columns of ``sampling``.
        ranking: its rungs and audit, as ``fine/ranking.json`` has them; empty where there is none.
        verification: retrained candidates, as ``fine/verification.json`` has them; None where none were retrained.
    """

    candidates: tuple[RankedPath, ...]
    chosen: Architecture | None
    sampling: tuple[tuple[int, ...], ...] | None
    operations: tuple[Operation, ...]
    ranking: dict[str, Any]
    verification: dict[str, Any] | None

    @property
    def finalists(self) -> tuple[RankedPath, ...]:
        """The candidates that were scored on the most cases: their Dice can be compared."""
        most = max((each.cases for each in self.candidates), default=0)
        return tuple(each for each in self.candidates if each.cases == most)

    @property
    def audit(self) -> dict[str, Any]:
        """The agreement of the ranking's rungs with a full ranking; empty where that was not measured."""
        return self.ranking.get("audit") or {}

    @property
    def comparable(self) -> tuple[RankedPath, ...]:
        """All candidates on the first rung's cases; where that Dice was not kept, the finalists on theirs.

        Means over different cases cannot be compared: candidates dropped early would look good or bad by the cases.
        """
        if any(each.first_rung_dice is None for each in self.candidates):
            return self.finalists
        return tuple(
            replace(each, dice=each.first_rung_dice, cases=each.first_rung_cases or 0) for each in self.candidates
        )

    @property
    def tells_apart(self) -> bool:
        """True if candidates differ in Dice, or only one can be compared."""
        return len({each.dice for each in self.comparable}) > 1 or len(self.comparable) == 1


def summarise_fine(folder: RunFolder, config: RunConfig) -> FineSummary:
    """Return the fine stage of a run, begun or not."""
    known = [row for row in read_ranked(folder) if row.dice is not None]
    chosen, ranking, verified = folder.fine_architecture, folder.ranking_file, folder.verification_file
    trained = read_job(folder.supernet).value
    return FineSummary(
        candidates=tuple(sorted(known, key=lambda each: (-each.cases, -dice_of(each)))),
        chosen=Architecture.load(chosen) if chosen.exists() else None,
        sampling=tuple(map(tuple, trained["sampling"])) if trained else None,
        operations=config.operations,
        ranking=read_json(ranking) if ranking.exists() else {},
        verification=read_json(verified) if verified.exists() else None,
    )


def dice_of(candidate: RankedPath) -> float:
    """Return the Dice of a candidate that has one."""
    assert candidate.dice is not None
    return candidate.dice


def operation_effects(candidates: Sequence[RankedPath], operations: Sequence[Operation]) -> list[Effect]:
    """Return the marginal effect of every operation in every cell, over ``candidates``.

    Other cells are averaged over, which random candidates draw independently. Interactions of two cells do not show.
    """
    if not candidates:
        return []
    overall = fmean(dice_of(each) for each in candidates)
    cells = range(len(candidates[0].architecture.operations))
    found = []
    for cell in cells:
        for operation in operations:
            dice = [dice_of(each) for each in candidates if each.architecture.operations[cell] is operation]
            if dice:
                half = CONFIDENCE * stdev(dice) / math.sqrt(len(dice)) if len(dice) > 1 else None
                found.append(Effect(cell + 1, operation, len(dice), fmean(dice) - overall, half))
    return found


def patch_cost(architecture: Architecture, plan: Plan) -> NetworkCost:
    """Return the cost of one patch of the plan."""
    return network_cost(architecture, in_channels=len(plan.channels), classes=plan.outputs, input_size=plan.patch_size)
