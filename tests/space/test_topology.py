import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from space_strategies import topologies

from c2fnas.space.architecture import Architecture
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import STEM, Move, Topology, code_of

PANC = Architecture.named("c2fnas-panc").topology


def output_level(topology: Topology, source: int) -> int:
    return 0 if source == STEM else topology.code[source]


def test_code_is_the_level_after_each_cell():
    topology = Topology((1, 1, 2, 1, 0))
    assert topology.moves == (Move.DOWN, Move.SAME, Move.DOWN, Move.UP, Move.UP)
    assert topology.downsamplings == 2
    assert topology.cells == 5


def test_inputs_of_c2fnas_panc():
    """Worked out by hand from spec and Figure 5: cell 2 takes the stem, up cells take their skips, and so on."""
    assert PANC.code == (0, 0, 1, 1, 2, 3, 2, 2, 1, 0, 0, 0)
    assert PANC.inputs == ((-1,), (0, -1), (1,), (2,), (3,), (4,), (5, 4), (6,), (7, 3), (8, 1), (9,), (10, 9))
    assert PANC.skips == ((4, 6), (3, 8), (1, 9))
    assert PANC.outputs == (11, 10)


def test_stem_is_a_skip_source_where_cell_1_goes_down():
    topology = Topology((1, 1, 0))
    assert topology.skips == ((STEM, 2),)
    assert topology.inputs == ((STEM,), (0,), (1, STEM))
    assert topology.outputs == (2,)


@given(topologies())
def test_inputs_follow_the_two_rules(topology: Topology):
    for cell, (previous, *second) in enumerate(topology.inputs):
        assert previous == cell - 1
        assert len(second) <= 1
        level, up = topology.code[cell], topology.moves[cell] is Move.UP
        fits = cell >= 1 and output_level(topology, cell - 2) == level
        # Rule 2 by brute force: of all outputs at this level in the encoder, the last one before the down-sampling.
        encoder = [
            source
            for source in range(STEM, cell)
            if output_level(topology, source) == level and Move.UP not in topology.moves[: source + 1]
        ]
        assert second == ([encoder[-1]] if up else [cell - 2] if fits else [])


@given(topologies())
def test_rules_never_conflict(topology: Topology):
    for source, target in topology.skips:
        if output_level(topology, target - 2) == topology.code[target]:
            assert target - 2 == source


@given(topologies())
def test_every_second_input_has_the_cells_resolution(topology: Topology):
    for cell, (_, *second) in enumerate(topology.inputs):
        assert all(output_level(topology, source) == topology.code[cell] for source in second)


@given(topologies())
def test_skips_nest_and_pair_every_downsampling(topology: Topology):
    assert len(topology.skips) == topology.downsamplings
    sources, targets = [source for source, _ in topology.skips], [target for _, target in topology.skips]
    assert sources == sorted(sources, reverse=True)
    assert targets == sorted(targets)
    assert all(topology.moves[source + 1] is Move.DOWN for source in sources)


@given(topologies())
def test_moves_give_the_code_back(topology: Topology):
    assert code_of(topology.moves) == topology.code


@given(topologies())
def test_neighbours_are_all_topologies_one_swap_away(topology: Topology):
    """By brute force: those of the space whose moves differ in two adjacent places and are the same taken together."""

    def one_swap(other: Topology) -> bool:
        differing = [place for place in range(topology.cells) if topology.moves[place] != other.moves[place]]
        adjacent = len(differing) == 2 and differing[1] == differing[0] + 1
        return adjacent and sorted(topology.moves) == sorted(other.moves)

    space = SearchSpace(topology.cells, topology.downsamplings)
    assert topology.neighbours() == tuple(filter(one_swap, space.topologies()))


def test_neighbours_connect_the_space():
    """Whoever walks from neighbour to neighbour reaches all 924."""
    reached, frontier = {PANC}, [PANC]
    while frontier:
        new = set(frontier.pop().neighbours()) - reached
        reached |= new
        frontier.extend(new)
    assert len(reached) == 924


@given(st.sampled_from(SearchSpace().topologies()), st.sampled_from(SearchSpace().topologies()))
def test_distance_is_a_metric_on_codes(left: Topology, right: Topology):
    assert left.distance(right) == pytest.approx(np.linalg.norm(np.subtract(left.code, right.code)))
    assert left.distance(right) == right.distance(left)
    assert (left.distance(right) == 0) == (left == right)


@pytest.mark.parametrize(
    ("code", "cell"),
    [
        ((), 1),
        ((2, 1, 0), 1),
        ((0, 2, 1, 0), 2),
        ((-1, 0), 1),
        ((1, 0, -1, 0), 3),
        ((1, 0, 1, 0), 3),
        ((0, 1, 1), 3),
        ((1, 2, 0), 3),
        ((1,), 1),
    ],
)
def test_fault_names_the_cell(code: tuple[int, ...], cell: int):
    with pytest.raises(ValueError, match=rf"^cell {cell}: "):
        Topology(code)


def test_levels_become_plain_numbers():
    topology = Topology(np.array([1, 0]))  # type: ignore[arg-type]
    assert [type(level) for level in topology.code] == [int, int]
    with pytest.raises(TypeError):
        Topology((1.0, 0.0))  # type: ignore[arg-type]
