"""Many paths at once: they form a tree over the cells, and what two of them share is computed once, which is exact."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

from c2fnas.networks.blocks import Features
from c2fnas.networks.supernet import SuperNetwork
from c2fnas.networks.trunk import State
from c2fnas.space.operation import Operation, OperationPath
from c2fnas.space.topology import skip_sources


@torch.no_grad()  # as a decorator: a with-block in a generator would leak into the caller between two paths
def evaluate_paths(
    supernet: SuperNetwork, x: Features, paths: Sequence[OperationPath]
) -> Iterator[tuple[int, Features]]:
    """Yield ``(index into paths, logits)`` of every path, walking their prefix tree depth first.

    Two things are shared. Paths with the same first cells have the same activations there. And a skip, which comes from
    far back, goes through its branch of the up cell once for all paths that agree up to where it starts.

    Memory is that of one path's activations plus one kept state per cell and three branches per skip. Equal to
    ``supernet(x, path)`` bit for bit on the CPU, since every operation sees the same tensor.
    """
    order = sorted(range(len(paths)), key=lambda index: paths[index])
    yield from _Walk(supernet, paths).descend(supernet.begin(x), order, 0)


class _Walk:
    """A walk through the tree: the states lie on the call stack, the branches of skips here."""

    def __init__(self, supernet: SuperNetwork, paths: Sequence[OperationPath]) -> None:
        self._supernet, self._paths = supernet, paths
        self._sources = skip_sources(supernet.topology)
        self._branches: dict[int, dict[tuple[int, Operation], Tensor]] = {}

    def descend(self, state: State, order: list[int], cell: int) -> Iterator[tuple[int, Features]]:
        """The paths in ``order`` agree on all cells before ``cell``, where ``state`` stands."""
        if cell == self._supernet.topology.cells:
            logits = self._supernet.finish(state)
            yield from ((index, logits) for index in order)
            return
        for operation, group in groupby(order, key=lambda index: self._paths[index][cell]):
            self._branches.pop(cell, None)  # they belong to this cell's output before
            after = self._supernet.step(state, cell, operation, self._skip(state, cell, operation))
            yield from self.descend(after, list(group), cell + 1)

    def _skip(self, state: State, cell: int, operation: Operation) -> Tensor | None:
        """The skip's branch in ``cell``, kept until the output it starts from is another one; None without a skip."""
        if cell not in self._sources:
            return None
        kept = self._branches.setdefault(self._sources[cell], {})
        if (cell, operation) not in kept:
            kept[cell, operation] = self._supernet.second_branch(state, cell, operation)
        return kept[cell, operation]
