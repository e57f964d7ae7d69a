"""The path of an iteration: fair, and a function of seed and iteration alone."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from c2fnas.search.paths import SAMPLINGS, PathSampling, StrictPaths, UniformPaths
from c2fnas.space.operation import Operation

ALL = tuple(Operation)


@pytest.mark.parametrize("kind", SAMPLINGS.values())
def test_a_path_depends_on_seed_and_iteration_alone(kind: type[PathSampling]) -> None:
    ahead = [kind(ALL, 12, seed=0)(iteration) for iteration in range(20)]
    backwards = kind(ALL, 12, seed=0)
    assert ahead == [backwards(iteration) for iteration in reversed(range(20))][::-1]
    assert len(set(ahead)) == 20
    assert ahead != [kind(ALL, 12, seed=1)(iteration) for iteration in range(20)]


@pytest.mark.parametrize("kind", SAMPLINGS.values())
def test_counts_are_of_the_paths_drawn(kind: type[PathSampling]) -> None:
    paths = kind(ALL, 4, seed=3)
    drawn = [paths(iteration) for iteration in range(50)]
    expected = [[operations.count(operation) for operation in Operation] for operations in zip(*drawn, strict=True)]
    assert paths.counts(50) == expected


@pytest.mark.parametrize("kind", SAMPLINGS.values())
def test_single_paths_are_uniform(kind: type[PathSampling]) -> None:
    """Chi-squared at p > 1e-6 over the 81 paths of four cells, at one place of the round."""
    paths = kind(ALL, 4, seed=0)
    drawn = Counter(paths(iteration) for iteration in range(0, 3 * 4000, 3))
    assert len(drawn) == 81
    assert chisquare(list(drawn.values())).pvalue > 1e-6


def test_uniform_sampling_is_fair_on_average() -> None:
    for counts in UniformPaths(ALL, 12, seed=0).counts(3000):
        assert sum(counts) == 3000
        assert chisquare(counts).pvalue > 1e-6


@given(st.integers(1, 3), st.integers(1, 14), st.integers(0, 60), st.integers(0, 99))
def test_strict_sampling_trains_every_operation_once_a_round(kinds: int, cells: int, round_: int, seed: int) -> None:
    paths = StrictPaths(ALL[:kinds], cells, seed=seed)
    drawn = [paths(kinds * round_ + place) for place in range(kinds)]
    assert all(sorted(operations) == sorted(ALL[:kinds]) for operations in zip(*drawn, strict=True))


@given(st.integers(0, 200))
def test_strict_sampling_is_never_off_by_more_than_one(iterations: int) -> None:
    counts = np.array(StrictPaths(ALL, 5, seed=0).counts(iterations))
    assert counts.max() - counts.min() <= 1
    assert (counts.sum(1) == iterations).all()


def test_uniform_sampling_is_not_strict() -> None:
    """The purpose of the option: by chance some operations train far less than others."""
    counts = np.array(UniformPaths(ALL, 12, seed=0).counts(300))
    assert counts.max() - counts.min() > 10


def test_cells_have_orders_of_their_own() -> None:
    paths = StrictPaths(ALL, 12, seed=0)
    orders = {tuple(path[cell] for path in map(paths, range(3))) for cell in range(12)}
    assert len(orders) > 2
