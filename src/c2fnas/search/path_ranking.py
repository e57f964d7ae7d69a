"""Candidates of the fine stage: distinct paths, uniformly at random (paper 3.4)."""

import numpy as np

from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace


def random_paths(space: SearchSpace, count: int, *, seed: int) -> list[tuple[Operation, ...]]:
    """``count`` distinct operation configurations, all sets of them equally likely; every one where there are no more.

    >>> len(random_paths(SearchSpace(cells=2, downsamplings=1), 2000, seed=0))
    9
    """
    total = space.operation_configuration_count
    rng = np.random.default_rng((seed, total))
    numbers = rng.choice(total, size=min(count, total), replace=False, shuffle=False)
    return [path_number(space, int(number)) for number in np.sort(numbers)]


def path_number(space: SearchSpace, number: int) -> tuple[Operation, ...]:
    """The configuration with this number, counted in base ``len(operations)``, the first cell most significant."""
    choices = len(space.operations)
    digits = [number // choices**place % choices for place in reversed(range(space.cells))]
    return tuple(space.operations[digit] for digit in digits)
