"""Successive halving: the best candidates of a rung go on to the next, with a larger budget. Not in the paper.

The coarse stage halves over iterations, asynchronously (Li et al., "A System for Massively Parallel Hyperparameter
Tuning", MLSys 2020, in the form that stops rather than pauses): nobody waits for others to reach a rung. The fine stage
halves over validation cases (Jamieson and Talwalkar, "Non-stochastic best arm identification", AISTATS 2016): rungs are
synchronous and their cases nested, so that a survivor is scored on the new cases alone.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from c2fnas.search.ranks import is_on_front
from c2fnas.space.operation import OperationPath

FACTOR = 3
"""Of the fine stage: so many times fewer candidates, on so many times more cases, at every rung."""


@dataclass(frozen=True)
class RungResult:
    """A candidate's result at a rung of its training.

    Attributes:
        iteration: of the rung.
        score: its Dice there.
        rank: from 1, among all that had reached the rung by then, itself included; behind its equals.
        among: how many these were.
        promoted: True if its training went on.
    """

    iteration: int
    score: float
    rank: int
    among: int
    promoted: bool


def judge_at_rung(iteration: int, score: float, others: Sequence[float], factor: int = 2) -> RungResult:
    """Return the result of a candidate: the best in ``factor`` of those that have reached the rung are promoted.

    ``others`` are the scores of those that reached it before. The first one is always promoted.

    >>> judge_at_rung(100, 0.6, [0.7, 0.5, 0.8, 0.2], factor=2)
    RungResult(iteration=100, score=0.6, rank=3, among=5, promoted=True)
    >>> judge_at_rung(100, 0.4, [0.7, 0.5, 0.8, 0.2], factor=2).promoted
    False
    """
    rank, among = 1 + sum(other >= score for other in others), len(others) + 1
    return RungResult(iteration, score, rank, among, promoted=rank <= -(-among // factor))


def rung_iterations(shares: Sequence[float], iterations: int) -> tuple[int, ...]:
    """Return the iterations of rungs at these shares of a training, without those that fall on its ends.

    >>> rung_iterations((0.25, 0.5), 20_000)
    (5000, 10000)
    """
    places = {round(share * iterations) for share in shares}
    return tuple(sorted(place for place in places if 0 < place < iterations))


@dataclass(frozen=True)
class Rung:
    """A step of the fine stage: so many candidates are scored on so many cases."""

    candidates: int
    cases: int


def plan_rungs(candidates: int, cases: int, rungs: int, factor: int = FACTOR) -> tuple[Rung, ...]:
    """Return rungs from few cases to all: ``factor`` times as many at every rung, and as many times fewer candidates.

    Rungs that would have the cases of the next one are left out.

    >>> plan_rungs(2000, 40, rungs=3)
    (Rung(candidates=2000, cases=5), Rung(candidates=667, cases=14), Rung(candidates=223, cases=40))
    >>> plan_rungs(2000, 40, rungs=1)
    (Rung(candidates=2000, cases=40),)
    """
    shares = {-(-cases // factor**below) for below in range(rungs)}
    return tuple(Rung(-(-candidates // factor**number), share) for number, share in enumerate(sorted(shares)))


def work(rungs: Sequence[Rung]) -> int:
    """Return how many pairs of candidate and case are scored; a survivor is not scored again on cases it has seen.

    >>> work(plan_rungs(2000, 40, rungs=3)) / work(plan_rungs(2000, 40, rungs=1))
    0.2725125
    """
    seen = [0, *(rung.cases for rung in rungs)]
    return sum(rung.candidates * (rung.cases - before) for rung, before in zip(rungs, seen, strict=False))


def pairs(candidates: int, cases: int, rungs: int, audit: int = 0) -> int:
    """Return the pairs of candidate and case of a whole ranking; ``audit`` candidates are scored on all cases besides.

    >>> pairs(2000, 40, rungs=3), pairs(2000, 40, rungs=3, audit=32), pairs(2000, 40, rungs=1, audit=32)
    (21801, 23081, 80000)
    """
    plan = plan_rungs(candidates, cases, rungs) if cases else ()
    return work(plan) + (audit * cases if len(plan) > 1 else 0)


def survivors(
    scores: Mapping[OperationPath, float | None], keep: int, costs: Mapping[OperationPath, Sequence[float]]
) -> list[OperationPath]:
    """Return the candidates of the next rung, best first: the ``keep`` best, then the rest of the Pareto front.

    The front is that of score against ``costs``, so that a cheap network is not lost for being second best. A candidate
    that has failed (None) is out. Equals go by their costs, so that the first of all is on the front, then by their
    order as paths.
    """
    points = {path: (-score, *costs[path]) for path, score in scores.items() if score is not None}
    alive = sorted(points, key=lambda path: (*points[path], path))
    front = is_on_front([points[path] for path in alive])
    return [path for place, path in enumerate(alive) if place < keep or front[place]]


def case_order(shows: Sequence[Set[int]]) -> list[int]:
    """Return the order in which cases are added, each number once: every beginning of it represents all.

    Args:
        shows: the foreground classes that each case shows.

    Returns:
        First, as few as it takes, cases that show every class that any of them shows; then the others, spread evenly
        over their order whatever their number.

    >>> case_order([{1}, {1}, {1, 2}, set(), {1}])
    [2, 0, 4, 1, 3]
    """
    missing, first = set().union(*shows), list[int]()
    while missing:
        best = max(range(len(shows)), key=lambda case: (len(shows[case] & missing), -case))
        first.append(best)
        missing -= shows[best]
    return first + [case for case in _van_der_corput(len(shows)) if case not in first]


def _van_der_corput(count: int) -> list[int]:
    """0 to ``count`` − 1 in an order whose every beginning is spread evenly."""
    bits = max(1, (count - 1).bit_length())
    backwards = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(2**bits))
    return [number for number in backwards if number < count]
