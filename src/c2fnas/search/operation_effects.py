"""The choice of a path by the effects of its operations, shrunk towards nothing (not in the paper)."""

from collections.abc import Sequence

import numpy as np

from c2fnas.search.answer import DRAWS, cheapest_within
from c2fnas.search.posterior import Array, Posterior, ScoreModel
from c2fnas.space.operation import Operation, OperationPath

FIRST_RUNG = ((0.0, 0.1), (0.5, 0.3), (1.0, 0.6))
"""Factors of what the first rung says, and their prior weights: it is the same Dice, on fewer cases."""
MOST = 500
"""Paths that are compared; of more, those with the highest scores."""


def take_path(
    paths: Sequence[OperationPath],
    scores: Sequence[float],
    costs: Sequence[float],
    *,
    margin: float,
    first: tuple[Sequence[OperationPath], Sequence[float]] | None = None,
    seed: int = 0,
) -> int:
    """Return the place of the path to take: the cheapest that is all but certainly within the margin of the best.

    The best has the highest posterior mean. Every operation has an effect in every cell, effects are shrunk as far as
    the scores say, and a path may differ from the sum of its effects.

    Args:
        paths: those to choose from, scored on the same cases.
        scores: Dice of each.
        costs: of each.
        margin: differences in Dice within it do not matter.
        first: all paths and their scores on fewer cases: what they say of effects is a guess, weighed by ``scores``.
        seed: of the draws from the posterior.

    >>> three, flat = (Operation.CONV3D,) * 2, (Operation.CONV2D,) * 2
    >>> take_path([three, flat], [0.80, 0.80], [2.0, 1.0], margin=0.5)
    1
    """
    kept = sorted(range(len(paths)), key=lambda place: -scores[place])[:MOST]
    found = path_posterior([paths[place] for place in kept], [scores[place] for place in kept], first)
    draws = found.draws(np.random.default_rng(seed), DRAWS)
    among = np.ones(len(kept), dtype=bool)
    return kept[cheapest_within(found, draws, np.array([costs[place] for place in kept]), among, margin)]


def path_posterior(
    paths: Sequence[OperationPath],
    scores: Sequence[float],
    first: tuple[Sequence[OperationPath], Sequence[float]] | None = None,
) -> Posterior:
    """Return what ``scores`` say of ``paths``, see :func:`take_path`."""
    guess = None if first is None else _effects(*first, paths)
    return ScoreModel(_indicators(paths), guess=guess, guesses=FIRST_RUNG).posterior(range(len(paths)), scores)


def _effects(known: Sequence[OperationPath], scores: Sequence[float], paths: Sequence[OperationPath]) -> Array:
    """The sums of effects of ``paths`` by a ridge regression whose penalty follows from the scores."""
    from sklearn.linear_model import BayesianRidge

    found: Array = BayesianRidge().fit(_indicators(known), scores).predict(_indicators(paths))
    return found


def _indicators(paths: Sequence[OperationPath]) -> Array:
    """One where a cell has an operation, ``[paths, cells × operations]``."""
    operations = list(Operation)
    return np.array([[operation is each for operation in path for each in operations] for path in paths], dtype=float)
