"""Successive halving over validation cases: all candidates on a few cases, the best of them on more, finalists on all.

Jamieson and Talwalkar, "Non-stochastic best arm identification" (AISTATS 2016); here an arm's budget are cases. Rungs
are synchronous and their cases nested, so that a survivor is scored on the new cases alone.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from c2fnas.search.pareto import is_on_front
from c2fnas.space.operation import OperationPath

FACTOR = 3


@dataclass(frozen=True)
class Rung:
    """How many candidates are scored on how many cases."""

    candidates: int
    cases: int


def plan_rungs(candidates: int, cases: int, rungs: int, factor: int = FACTOR) -> tuple[Rung, ...]:
    """From few cases to all, ``factor`` times as many at every rung, and as many times fewer candidates.

    Rungs that would have the cases of the next one are left out.

    >>> plan_rungs(2000, 40, rungs=3)
    (Rung(candidates=2000, cases=5), Rung(candidates=667, cases=14), Rung(candidates=223, cases=40))
    >>> plan_rungs(2000, 40, rungs=1)
    (Rung(candidates=2000, cases=40),)
    """
    shares = {-(-cases // factor**below) for below in range(rungs)}
    return tuple(Rung(-(-candidates // factor**number), share) for number, share in enumerate(sorted(shares)))


def work(rungs: Sequence[Rung]) -> int:
    """Pairs of candidate and case to be scored: a survivor is not scored again on the cases it has seen.

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
    """Who enters the next rung, best first: the ``keep`` best, and behind them the rest of the Pareto front.

    The front is that of score against ``costs``, so that a cheap network is not lost for being second best. A candidate
    that has failed (None) is out. Equals go by their costs, so that the first of all is on the front, then by their
    order as paths.
    """
    alive = sorted(
        (path for path, score in scores.items() if score is not None),
        key=lambda path: (-_score(scores, path), *costs[path], path),
    )
    front = is_on_front([(-_score(scores, path), *costs[path]) for path in alive])
    return [path for place, path in enumerate(alive) if place < keep or front[place]]


def case_order(shows: Sequence[Set[int]]) -> list[int]:
    """In which order cases are added, each number once: the first few represent all as well as few can.

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
    return first + [case for case in _spread(len(shows)) if case not in first]


def _spread(count: int) -> list[int]:
    """0 to ``count`` − 1 in the order of the van der Corput sequence: every beginning of it is spread evenly."""
    bits = max(1, (count - 1).bit_length())
    reversed_ = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(2**bits))
    return [number for number in reversed_ if number < count]


def _score(scores: Mapping[OperationPath, float | None], path: OperationPath) -> float:
    score = scores[path]
    assert score is not None
    return score
