import itertools

import numpy as np
import pytest
from hypothesis import given
from scipy.stats import chisquare
from space_strategies import spaces, walks

from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace, count_walks, is_u_shaped, skips_match
from c2fnas.space.topology import Topology, code_of

PAPER = SearchSpace()


def test_counts_of_the_paper():
    assert PAPER.topology_count == 924
    assert PAPER.unpruned_topology_count == 28_657
    assert PAPER.walk_count == 75_025
    assert PAPER.operation_configuration_count == 531_441


def test_priors_leave_the_924_of_the_75025_walks():
    enumerated = list(walks(PAPER.cells, PAPER.levels))
    pruned = [moves for moves in enumerated if is_u_shaped(moves) and skips_match(moves, PAPER.downsamplings)]
    assert len(set(enumerated)) == len(enumerated) == 75_025
    assert sorted(map(code_of, pruned)) == [topology.code for topology in PAPER.topologies()]
    assert len(PAPER.topologies()) == 924


def test_papers_unpruned_count_is_no_superset():
    """With cell 1 held at level 0, the paper's way of counting, the priors would leave 462; the others start at 1."""
    starting_down = [topology for topology in PAPER.topologies() if topology.code[0] == 1]
    assert len(starting_down) == 462


@given(spaces())
def test_formulas_equal_enumeration(space: SearchSpace):
    topologies = space.topologies()
    assert space.topology_count == len(set(topologies)) == len(topologies)
    assert space.walk_count == sum(1 for _ in walks(space.cells, space.levels))
    assert space.unpruned_topology_count == sum(1 for _ in walks(space.cells - 1, space.levels))


@given(spaces(most_cells=7))
def test_topologies_are_the_legal_codes(space: SearchSpace):
    """By brute force over every tuple of levels."""
    legal = []
    for code in itertools.product(range(space.levels), repeat=space.cells):
        try:
            topology = Topology(code)
        except ValueError:
            continue
        if topology.downsamplings == space.downsamplings:
            legal.append(topology)
    assert space.topologies() == tuple(legal)


@given(spaces(most_cells=6))
def test_operation_configurations_are_counted(space: SearchSpace):
    assert len(set(space.operation_configurations())) == space.operation_configuration_count


def test_large_spaces_are_counted_without_enumeration():
    space = SearchSpace(cells=60, downsamplings=10)
    assert space.topology_count == 4_191_844_505_805_495
    assert space.walk_count == count_walks(60, 11) > 10**25


def test_random_topologies_are_uniform():
    """Chi-squared at p > 1e-4 on a fixed seed: a sampler with a bias of a few per cent fails."""
    space, rng = SearchSpace(cells=8, downsamplings=2), np.random.default_rng(0)
    place = {topology: index for index, topology in enumerate(space.topologies())}
    counts = np.bincount([place[space.random_topology(rng)] for _ in range(7000)], minlength=len(place))
    assert counts.sum() == 7000
    assert chisquare(counts).pvalue > 1e-4


def test_random_operations_are_uniform_in_every_cell():
    rng = np.random.default_rng(0)
    drawn = [PAPER.random_operations(rng) for _ in range(3000)]
    for operations in zip(*drawn, strict=True):
        assert chisquare([operations.count(operation) for operation in Operation]).pvalue > 1e-4


def test_fewer_operations_make_a_smaller_space():
    space = SearchSpace(operations=(Operation.CONV3D, Operation.CONV2D))
    assert space.operation_configuration_count == 2**12
    assert Operation.P3D not in space.random_operations(np.random.default_rng(0))


@pytest.mark.parametrize("arguments", [(5, 3), (0, 0), (4, -1), (2, 1, ()), (2, 1, (Operation.P3D, Operation.P3D))])
def test_impossible_spaces_are_refused(arguments: tuple):
    with pytest.raises(ValueError, match=r"cells cannot hold|at least one operation"):
        SearchSpace(*arguments)
