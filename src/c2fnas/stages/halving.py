"""From all candidates of the fine stage to the finalists: successive halving over validation cases, and its audit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from c2fnas.runs.run import Run
from c2fnas.search.paths import PathEvolution, random_paths
from c2fnas.search.ranks import kendall_tau
from c2fnas.search.successive_halving import plan_rungs, survivors, work
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import Cost
from c2fnas.space.operation import OperationPath
from c2fnas.space.topology import Topology
from c2fnas.stages.ranking import Ranking, ranking_cases, refuse_all_failed

Reached = Mapping[OperationPath, int]
"""On how many cases each candidate was scored, in the order of the candidates."""


@dataclass(frozen=True)
class Scored:
    """A candidate after the rungs.

    Attributes:
        cases: on which it was scored.
        dice: the mean over them; None if it has failed.
        first_dice: the same on the first rung's cases alone: the one scale that all candidates share.
        device: where it was scored last.
        failure: the reason for it, if it has failed.
    """

    cases: int
    dice: float | None
    first_dice: float | None = None
    device: str = ""
    failure: str | None = None


@dataclass(frozen=True)
class Halved:
    """The candidates after the rungs.

    Attributes:
        finalists: those scored on all cases that have not failed, best first.
        candidates: all of them, in order.
        first_cases: of the first rung.
        audit: how far the rungs agree with a full ranking, of candidates at random; empty without an audit.
        scored: pairs of candidate and case that were computed.
        macs_naive: multiply-accumulates of their windows, each candidate alone.
        macs_tree: those that were computed, beginnings shared among the candidates that were walked together.
    """

    finalists: Sequence[OperationPath]
    candidates: Mapping[OperationPath, Scored]
    first_cases: int = 0
    audit: Mapping[str, Any] = field(default_factory=dict)
    scored: int = 0
    macs_naive: int = 0
    macs_tree: int = 0


class SuccessiveHalving:
    """The candidates of one run on their way through the rungs."""

    def __init__(self, run: Run, topology: Topology) -> None:
        self._run, self._config = run, run.config.fine
        self.cases = ranking_cases(run)
        self._drawn = random_paths(run.config.space, self._config.candidates, seed=run.config.seed)
        self.rungs = plan_rungs(len(self._drawn), len(self.cases), self._config.rungs)
        self._audited = self._drawn[: self._config.audit] if len(self.rungs) > 1 else []
        total = work(self.rungs) + len(self._audited) * len(self.cases)
        self._ranking = Ranking(run, topology, total)
        self.cost = cache(lambda path: _macs_first(run.cost(Architecture(topology, path, run.width))))

    def rank(self) -> Halved:
        """Score the candidates, halve them rung by rung, audit the rungs.

        Raises:
            UserError: no candidate could be scored.
        """
        finalists, reached = self._halve(self._first())
        full = self._audited_scores()
        audit = self._audit(full, reached)
        if audit:
            finalists, reached = self._admit(finalists, reached, [path for path in full if path in reached])
        found = {path: self._scored(path, count) for path, count in reached.items()}
        ranking = self._ranking
        ranking.close(f"{len(found)} candidates, {len(finalists)} on all {len(self.cases)} cases")
        first = self.rungs[0].cases
        return Halved(finalists, found, first, audit, ranking.scored, ranking.macs_naive, ranking.macs_tree)

    def _scored(self, path: OperationPath, cases: int) -> Scored:
        dice, first = (self._ranking.dice(path, self.cases[:count]) for count in (cases, self.rungs[0].cases))
        failure = self._ranking.failure(path) if dice is None else None
        return Scored(cases, dice, first, self._ranking.device(path), failure)

    def _first(self) -> list[OperationPath]:
        """The candidates, scored on the first rung's cases: all of them at once, or as evolution proposes them."""
        cases = self.cases[: self.rungs[0].cases]
        if self._config.choose == "random":
            self._ranking.score("rung-1", self._drawn, cases)
            return self._drawn
        config = self._run.config
        evolution = PathEvolution(config.space, candidates=self._config.candidates, seed=config.seed)
        found: dict[OperationPath, None] = {}
        while not evolution.finished:
            paths = evolution.ask()
            self._ranking.score(f"generation-{evolution.generation:02d}", paths, cases)
            scores = {path: self._ranking.dice(path, cases) for path in paths}
            evolution.tell(
                {path: None if dice is None else (dice, self.cost(path)[0]) for path, dice in scores.items()}
            )
            found |= dict.fromkeys(paths)
        return list(found)

    def _halve(self, candidates: list[OperationPath]) -> tuple[list[OperationPath], Reached]:
        """The finalists, best first, and on how many cases each candidate was scored."""
        left, reached = candidates, dict.fromkeys(candidates, self.rungs[0].cases)
        for number, rung in enumerate(self.rungs, start=1):
            cases = self.cases[: rung.cases]
            if number > 1:
                self._ranking.score(f"rung-{number}", left, cases)
                reached |= dict.fromkeys(left, rung.cases)
            scores = {path: self._ranking.dice(path, cases) for path in left}
            refuse_all_failed(self._run, list(scores.values()))
            if number == 1:
                self._warn_of_one_score(set(scores.values()) - {None}, len(scores))
            keep = self.rungs[number].candidates if number < len(self.rungs) else len(scores)
            left = survivors(scores, keep, {path: self.cost(path) for path in left})
        return left, reached

    def _warn_of_one_score(self, scores: set[float | None], candidates: int) -> None:
        if len(scores) == 1 < candidates:
            self._run.reporter.say(
                f"All {candidates} candidates have the same Dice, {scores.pop():.4f}: the super-network has not learnt "
                "enough to tell them apart, and the choice among them is arbitrary. Train it for more iterations."
            )

    def _audited_scores(self) -> dict[OperationPath, float]:
        """The Dice of candidates at random on all cases; those that failed are left out."""
        self._ranking.score("audit", self._audited, self.cases)
        found = {path: self._ranking.dice(path, self.cases) for path in self._audited}
        return {path: dice for path, dice in found.items() if dice is not None}

    def _audit(self, full: Mapping[OperationPath, float], reached: Reached) -> dict[str, Any]:
        """Kendall's τ of each rung's scores with those on all cases, and whether the best of them is a finalist.

        Empty where there is nothing to tell: one rung alone, or fewer than two candidates.
        """
        if len(full) < 2:
            return {}
        best = max(full, key=lambda path: full[path])
        taus = [
            {"cases": rung.cases, "tau": kendall_tau(self._scores(list(full), rung.cases), list(full.values()))}
            for rung in self.rungs[:-1]
        ]
        return {"candidates": len(full), "rungs": taus, "best_kept": reached.get(best) == len(self.cases)}

    def _admit(
        self, finalists: Sequence[OperationPath], reached: Reached, paths: Sequence[OperationPath]
    ) -> tuple[list[OperationPath], Reached]:
        """Candidates that the audit has scored on all cases are finalists too: what is known counts."""
        scores = {path: self._ranking.dice(path, self.cases) for path in [*finalists, *paths]}
        admitted = survivors(scores, len(scores), {path: self.cost(path) for path in scores})
        return admitted, {**reached, **dict.fromkeys(paths, len(self.cases))}

    def _scores(self, paths: Sequence[OperationPath], cases: int) -> list[float]:
        found = [self._ranking.dice(path, self.cases[:cases]) for path in paths]
        return [0.0 if dice is None else dice for dice in found]


def _macs_first(cost: Cost) -> tuple[int, int]:
    """The order in which costs break ties."""
    return cost.macs, cost.parameters
