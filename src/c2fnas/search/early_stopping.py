"""Asynchronous successive halving: a training goes on only while it is among the best so far at its rung.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020), in the form that stops rather than
pauses: nobody waits for others to reach a rung. Not in the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FACTOR = 2


@dataclass(frozen=True)
class Standing:
    """Where a candidate stood when it reached a rung.

    Attributes:
        iteration: of the rung.
        score: its Dice there.
        rank: from 1, among all that had reached the rung by then, itself included; behind its equals.
        among: how many these were.
        continues: whether its training went on.
    """

    iteration: int
    score: float
    rank: int
    among: int
    continues: bool


def stand(iteration: int, score: float, others: Sequence[float], factor: int = FACTOR) -> Standing:
    """Judge a candidate by the scores of those that have reached the rung before it: the best in ``factor`` go on.

    The first one always goes on.

    >>> stand(100, 0.6, [0.7, 0.5, 0.8, 0.2], factor=2)
    Standing(iteration=100, score=0.6, rank=3, among=5, continues=True)
    >>> stand(100, 0.4, [0.7, 0.5, 0.8, 0.2], factor=2).continues
    False
    """
    rank, among = 1 + sum(other >= score for other in others), len(others) + 1
    return Standing(iteration, score, rank, among, continues=rank <= -(-among // factor))


def rung_iterations(shares: Sequence[float], iterations: int) -> tuple[int, ...]:
    """The iterations of rungs at these shares of a training; those that would fall on its ends are left out.

    >>> rung_iterations((0.25, 0.5), 20_000)
    (5000, 10000)
    """
    places = {round(share * iterations) for share in shares}
    return tuple(sorted(place for place in places if 0 < place < iterations))
