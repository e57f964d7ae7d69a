"""The search space 𝒜 = 𝒮 × 𝒞 (paper Eq. 1 and 4): topologies and operations, counted, enumerated and sampled."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from math import comb

import numpy as np

from c2fnas.space.operation import Operation
from c2fnas.space.topology import Move, Topology, code_of

Moves = tuple[Move, ...]


@dataclass(frozen=True)
class SearchSpace:
    """All architectures with ``cells`` cells, ``downsamplings`` down and as many up, and ``operations`` to choose from.

    Raises:
        ValueError: fewer cells than the down and up cells need, or no operation.

    >>> space = SearchSpace()
    >>> space.topology_count, space.unpruned_topology_count, space.operation_configuration_count
    (924, 28657, 531441)
    """

    cells: int = 12
    downsamplings: int = 3
    operations: tuple[Operation, ...] = tuple(Operation)

    def __post_init__(self) -> None:
        if self.downsamplings < 0 or self.cells < max(1, 2 * self.downsamplings):
            raise ValueError(f"{self.cells} cells cannot hold {self.downsamplings} down and as many up cells")
        if not self.operations or len(set(self.operations)) != len(self.operations):
            raise ValueError("a search space needs at least one operation, each named once")

    @property
    def levels(self) -> int:
        """Resolution levels."""
        return self.downsamplings + 1

    @property
    def topology_count(self) -> int:
        """|𝒮'|: which cells go down or up decides everything, since every down comes before every up."""
        return comb(self.cells, 2 * self.downsamplings)

    @property
    def unpruned_topology_count(self) -> int:
        """|𝒮| as the paper counts it after Auto-DeepLab: cell 1 is at level 0, so one transition fewer than cells."""
        return count_walks(self.cells - 1, self.levels)

    @property
    def walk_count(self) -> int:
        """Walks of one move per cell over the levels: what the two priors prune to 𝒮'."""
        return count_walks(self.cells, self.levels)

    @property
    def operation_configuration_count(self) -> int:
        """|𝒞|: one operation per cell."""
        return len(self.operations) ** self.cells

    def topologies(self) -> tuple[Topology, ...]:
        """All topologies of the pruned space, sorted by code."""
        return _topologies(self.cells, self.downsamplings)

    def operation_configurations(self) -> Iterator[tuple[Operation, ...]]:
        """Every choice of one operation per cell, in order."""
        return product(self.operations, repeat=self.cells)

    def random_topology(self, rng: np.random.Generator) -> Topology:
        """A topology, all equally likely."""
        turns = np.sort(rng.choice(self.cells, 2 * self.downsamplings, replace=False))
        return _with_turns(self.cells, tuple(int(turn) for turn in turns))

    def random_operations(self, rng: np.random.Generator) -> tuple[Operation, ...]:
        """One operation per cell, all configurations equally likely."""
        return tuple(self.operations[index] for index in rng.integers(len(self.operations), size=self.cells))


def count_walks(moves: int, levels: int) -> int:
    """Walks of ``moves`` moves from level 0 that change the level by one at most and stay within ``levels`` levels."""
    ending_at = [1] + [0] * (levels - 1)
    for _ in range(moves):
        padded = [0, *ending_at, 0]
        ending_at = [padded[level] + padded[level + 1] + padded[level + 2] for level in range(levels)]
    return sum(ending_at)


def walks(moves: int, levels: int) -> Iterator[Moves]:
    """Every walk that :func:`count_walks` counts, by enumeration."""

    def extend(prefix: Moves, level: int) -> Iterator[Moves]:
        if len(prefix) == moves:
            yield prefix
            return
        for move in Move:
            if 0 <= level + move < levels:
                yield from extend((*prefix, move), level + move)

    return extend((), 0)


def is_u_shaped(moves: Sequence[Move]) -> bool:
    """Prior 1 (paper 3.3): an encoder, then a decoder — every down-sampling comes before every up-sampling."""
    downs = [index for index, move in enumerate(moves) if move is Move.DOWN]
    ups = [index for index, move in enumerate(moves) if move is Move.UP]
    return not downs or not ups or max(downs) < min(ups)


def skips_match(moves: Sequence[Move], downsamplings: int) -> bool:
    """Prior 2 (paper 3.3): each of ``downsamplings`` down-samplings has its up-sampling, so that skips pair them."""
    return list(moves).count(Move.DOWN) == list(moves).count(Move.UP) == downsamplings


@lru_cache
def _topologies(cells: int, downsamplings: int) -> tuple[Topology, ...]:
    return tuple(sorted(_with_turns(cells, turns) for turns in combinations(range(cells), 2 * downsamplings)))


def _with_turns(cells: int, turns: tuple[int, ...]) -> Topology:
    """The topology whose cells at the first half of ``turns`` go down and at the second half go up."""
    moves = [Move.SAME] * cells
    half = len(turns) // 2
    for order, cell in enumerate(turns):
        moves[cell] = Move.DOWN if order < half else Move.UP
    return Topology(code_of(moves))
