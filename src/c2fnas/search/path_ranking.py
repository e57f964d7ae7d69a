"""Candidates of the fine stage: distinct paths, uniformly at random (paper 3.4)."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from c2fnas.space.operation import OperationPath
from c2fnas.space.search_space import SearchSpace

BLOCK = 1024  # paths drawn at a time; fixed, since another one would draw other paths


def random_paths(space: SearchSpace, count: int, *, seed: int) -> list[OperationPath]:
    """``count`` distinct operation configurations, all sets of them equally likely; every one where there are no more.

    More of them with the same seed begin with the same ones, so a ranking can be extended.

    >>> len(random_paths(SearchSpace(cells=2, downsamplings=1), 2000, seed=0))
    9
    """
    return list(islice(_distinct_paths(space, seed), min(count, space.operation_configuration_count)))


def _distinct_paths(space: SearchSpace, seed: int) -> Iterator[OperationPath]:
    rng = np.random.default_rng(seed)
    seen: set[tuple[int, ...]] = set()
    while len(seen) < space.operation_configuration_count:
        for choices in rng.integers(len(space.operations), size=(BLOCK, space.cells)).tolist():
            if tuple(choices) not in seen:
                seen.add(tuple(choices))
                yield tuple(space.operations[choice] for choice in choices)
