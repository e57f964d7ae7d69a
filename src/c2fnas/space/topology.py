"""Topologies: the cells that go down and up, and the second inputs of cells (paper 3.3 and 4.1)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import accumulate
from operator import index

STEM = -1
"""The source index of the stem's output; cells count from 0."""


class Move(IntEnum):
    """A cell's change of level: to the next higher resolution, none, or to the next lower one."""

    UP = -1
    SAME = 0
    DOWN = 1


@dataclass(frozen=True, order=True)
class Topology:
    """A legal topology of the pruned space, given by its code (paper 4.1).

    The code is the level after each cell: the cumulative sum of the moves, so the first number is 1 where cell 1 is a
    down cell. Level ``l`` has 1/2^(l+1) of the input's resolution.

    Raises:
        ValueError: the code breaks one of the two priors; the message names the cell, counted from 1.
        TypeError: a level is no whole number.

    >>> topology = Topology((0, 0, 1, 1, 2, 3, 2, 2, 1, 0, 0, 0))
    >>> topology.skips
    ((4, 6), (3, 8), (1, 9))
    """

    code: tuple[int, ...]

    def __post_init__(self) -> None:
        # Numbers of other libraries become plain ones, so that a code is always JSON.
        object.__setattr__(self, "code", tuple(int(index(level)) for level in self.code))
        if problem := illegal(self.code):
            raise ValueError(problem)

    @cached_property
    def moves(self) -> tuple[Move, ...]:
        """The move of each cell."""
        return tuple(Move(after - before) for before, after in zip((0, *self.code), self.code, strict=False))

    @property
    def cells(self) -> int:
        """The number of cells."""
        return len(self.code)

    @cached_property
    def downsamplings(self) -> int:
        """The number of down cells, which is that of up cells."""
        return self.moves.count(Move.DOWN)

    @cached_property
    def skips(self) -> tuple[tuple[int, int], ...]:
        """The encoder–decoder skips as (source, target), cells counted from 0 and the stem −1.

        An up cell takes the output of the last cell, or of the stem, before the matching down-sampling (paper 4.1,
        situation 2).
        """
        last_at: dict[int, int] = {0: STEM}
        skips = []
        for cell, (move, level) in enumerate(zip(self.moves, self.code, strict=True)):
            if move is Move.UP:
                skips.append((last_at[level], cell))
            else:  # a decoder cell only overwrites a level to which no later cell goes up
                last_at[level] = cell
        return tuple(skips)

    @cached_property
    def inputs(self) -> tuple[tuple[int, ...], ...]:
        """The sources of each cell's inputs, the previous output first: one or two cells from 0, or the stem (−1).

        The second input is the skip of an up cell, or the previous-previous output where that has the cell's own
        resolution; the stem's output, at level 0, counts as the one before cell 1 (paper 4.1, situations 1 and 2).
        """
        skip_to = {target: source for source, target in self.skips}
        return tuple((cell - 1, *self._second_input(cell, skip_to)) for cell in range(self.cells))

    def _second_input(self, cell: int, skip_to: dict[int, int]) -> tuple[int, ...]:
        if cell in skip_to:
            return (skip_to[cell],)
        before_previous = cell - 2
        if before_previous < STEM:
            return ()
        level = 0 if before_previous == STEM else self.code[before_previous]
        return (before_previous,) if level == self.code[cell] else ()

    @property
    def outputs(self) -> tuple[int, ...]:
        """The inputs of the stem-out: the last cell, and the one before it where that is at level 0 too."""
        last = self.cells - 1
        return (last, last - 1) if last == 0 or self.code[last - 1] == 0 else (last,)

    def distance(self, other: "Topology") -> float:
        """Return the Euclidean distance of the codes: the smaller, the more similar the topologies (paper 3.3)."""
        return math.dist(self.code, other.code)

    def neighbours(self) -> tuple["Topology", ...]:
        """Return the legal topologies that differ by a swap of two adjacent moves, sorted."""
        return self._neighbours

    @cached_property
    def _neighbours(self) -> tuple["Topology", ...]:
        found = set()
        for left in range(self.cells - 1):
            moves = list(self.moves)
            moves[left], moves[left + 1] = moves[left + 1], moves[left]
            code = code_of(moves)
            if code != self.code and illegal(code) is None:
                found.add(Topology(code))
        return tuple(sorted(found))


def skip_sources(topology: Topology) -> dict[int, int]:
    """Return {cell: source} of the skips that span more than two cells.

    Shorter ones start too near to be shared by many paths of a ranking.

    >>> skip_sources(Topology((0, 0, 1, 1, 2, 3, 2, 2, 1, 0, 0, 0)))
    {8: 3, 9: 1}
    """
    return {cell: source for source, cell in topology.skips if cell - source > 2}


def code_of(moves: Iterable[Move]) -> tuple[int, ...]:
    """Return the code of a sequence of moves: their cumulative sum."""
    return tuple(accumulate(int(move) for move in moves))


def illegal(code: tuple[int, ...]) -> str | None:
    """Return the fault that makes ``code`` no topology of the pruned space, with its cell from 1, or None."""
    if not code:
        return "cell 1: missing; a topology has at least one cell"
    level, went_up = 0, False
    for cell, after in enumerate(code, start=1):
        if after not in (level - 1, level, level + 1):
            return f"cell {cell}: goes from level {level} to {after}; a cell changes the level by one at most"
        if after < 0:
            return f"cell {cell}: goes above level 0, the resolution of the stem's output"
        if after > level and went_up:
            return f"cell {cell}: goes down after an up cell; every down cell comes before every up cell"
        went_up = went_up or after < level
        level = after
    if level != 0:
        return f"cell {len(code)}: ends at level {level}; as many cells go up as down, so the last level is 0"
    return None
