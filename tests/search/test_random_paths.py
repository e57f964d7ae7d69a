import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from c2fnas.search.paths import random_paths
from c2fnas.space.search_space import SearchSpace

PAPER = SearchSpace()


def test_two_thousand_distinct_candidates():
    paths = random_paths(PAPER, 2000, seed=0)
    assert len(set(paths)) == len(paths) == 2000
    assert all(len(path) == 12 for path in paths)


@given(st.integers(1, 5), st.integers(0, 300), st.integers(0, 9))
def test_small_spaces_give_all_they_have(cells: int, count: int, seed: int):
    space = SearchSpace(cells, 0)
    paths = random_paths(space, count, seed=seed)
    assert len(set(paths)) == len(paths) == min(count, 3**cells)
    assert count < 3**cells or set(paths) == set(space.operation_configurations())


@given(st.integers(0, 1500), st.integers(0, 1500), st.integers(0, 9))
def test_a_longer_ranking_begins_with_the_shorter_one(shorter: int, more: int, seed: int):
    assert random_paths(PAPER, shorter + more, seed=seed)[:shorter] == random_paths(PAPER, shorter, seed=seed)


def test_seeds_differ():
    assert set(random_paths(PAPER, 500, seed=0)) != set(random_paths(PAPER, 500, seed=1))


def test_all_paths_are_equally_likely():
    """Chi-squared at p > 1e-6 over 3,000 draws of 3 of the 27 paths of three cells."""
    space = SearchSpace(3, 0)
    place = {path: index for index, path in enumerate(space.operation_configurations())}
    drawn = [place[path] for seed in range(3000) for path in random_paths(space, 3, seed=seed)]
    assert chisquare(np.bincount(drawn, minlength=27)).pvalue > 1e-6


def test_a_space_too_large_to_number():
    paths = random_paths(SearchSpace(cells=100, downsamplings=3), 50, seed=0)
    assert len(set(paths)) == 50
