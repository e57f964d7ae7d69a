"""Hypothesis strategies for the search space."""

from collections.abc import Iterator

from hypothesis import strategies as st

from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Move

MOST_CELLS = 9


@st.composite
def spaces(draw: st.DrawFn, most_cells: int = MOST_CELLS) -> SearchSpace:
    """Search spaces small enough to enumerate."""
    cells = draw(st.integers(1, most_cells))
    return SearchSpace(cells, draw(st.integers(0, cells // 2)))


@st.composite
def topologies(draw: st.DrawFn):
    """Topologies of any small space, and of the paper's."""
    return draw(st.sampled_from(draw(st.just(SearchSpace()) | spaces()).topologies()))


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """Architectures of any small space with any width that gives whole filters."""
    topology = draw(topologies())
    operation = st.sampled_from(list(Operation))
    operations = draw(st.lists(operation, min_size=topology.cells, max_size=topology.cells))
    return Architecture(topology, tuple(operations), draw(st.integers(1, 10_000)) / 32)


def walks(moves: int, levels: int, level: int = 0) -> Iterator[tuple[Move, ...]]:
    """Every walk of ``moves`` moves from ``level`` within ``levels`` levels, by enumeration."""
    if moves == 0:
        yield ()
        return
    for move in Move:
        if 0 <= level + move < levels:
            yield from ((move, *rest) for rest in walks(moves - 1, levels, level + move))
