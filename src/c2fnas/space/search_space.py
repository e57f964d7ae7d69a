"""The search space 𝒜 = 𝒮 × 𝒞 (paper Eq. 1 and 4): topologies and operations, counted, enumerated and sampled."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from math import comb
from typing import TYPE_CHECKING

from c2fnas.space.operation import Operation
from c2fnas.space.topology import Move, Topology, code_of

if TYPE_CHECKING:
    from numpy.random import Generator


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
        """The number of resolution levels."""
        return self.downsamplings + 1

    @property
    def topology_count(self) -> int:
        """|𝒮'|: the ways to choose the cells that go down or up, since every down comes before every up."""
        return comb(self.cells, 2 * self.downsamplings)

    @property
    def unpruned_topology_count(self) -> int:
        """|𝒮| as the paper counts it after Auto-DeepLab: cell 1 is at level 0, so one transition fewer than cells."""
        return count_walks(self.cells - 1, self.levels)

    @property
    def walk_count(self) -> int:
        """The number of walks of one move per cell over the levels, before the two priors prune them to 𝒮'."""
        return count_walks(self.cells, self.levels)

    @property
    def operation_configuration_count(self) -> int:
        """|𝒞|: one operation per cell."""
        return len(self.operations) ** self.cells

    def topologies(self) -> tuple[Topology, ...]:
        """Return all topologies of the pruned space, sorted by code."""
        return _topologies(self.cells, self.downsamplings)

    def operation_configurations(self) -> Iterator[tuple[Operation, ...]]:
        """Yield every choice of one operation per cell, in order."""
        return product(self.operations, repeat=self.cells)

    def random_topology(self, rng: "Generator") -> Topology:
        """Draw a topology; all are equally likely."""
        turns = rng.choice(self.cells, 2 * self.downsamplings, replace=False)
        return _with_turns(self.cells, tuple(sorted(turns.tolist())))

    def random_operations(self, rng: "Generator") -> tuple[Operation, ...]:
        """Draw one operation per cell; all configurations are equally likely."""
        return tuple(self.operations[index] for index in rng.integers(len(self.operations), size=self.cells))


def count_walks(moves: int, levels: int) -> int:
    """Count the walks of ``moves`` moves from level 0 within ``levels`` levels, one level up or down at most a move."""
    ending_at = [1] + [0] * (levels - 1)
    for _ in range(moves):
        padded = [0, *ending_at, 0]
        ending_at = [padded[level] + padded[level + 1] + padded[level + 2] for level in range(levels)]
    return sum(ending_at)


def is_u_shaped(moves: Sequence[Move]) -> bool:
    """True if every down-sampling comes before every up-sampling: an encoder, then a decoder (paper 3.3, prior 1)."""
    downs = [index for index, move in enumerate(moves) if move is Move.DOWN]
    ups = [index for index, move in enumerate(moves) if move is Move.UP]
    return not downs or not ups or max(downs) < min(ups)


def skips_match(moves: Sequence[Move], downsamplings: int) -> bool:
    """True if there are ``downsamplings`` down-samplings and as many up-samplings to pair (paper 3.3, prior 2)."""
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
