"""Exact evaluation of many paths at once: their prefixes form a tree, and each shared prefix is computed once."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

from c2fnas.networks.blocks import Features
from c2fnas.networks.network import State
from c2fnas.networks.supernet import SuperNetwork
from c2fnas.space.operation import Operation, OperationPath
from c2fnas.space.topology import skip_sources


@torch.no_grad()  # as a decorator: a with-block in a generator would leak into the caller between two paths
def evaluate_paths(
    supernet: SuperNetwork, x: Features, paths: Sequence[OperationPath]
) -> Iterator[tuple[int, Features]]:
    """Yield ``(index into paths, logits)`` of every path, depth first through the tree of prefixes.

    Paths with the same first cells share the activations of these cells. Paths that agree up to the source of a long
    skip share its branch of the up cell.

    Takes the memory of one path's activations, one state per cell and three branches per skip. Equal to
    ``supernet(x, path)`` bit for bit on the CPU, since every operation sees the same tensor.
    """
    order = sorted(range(len(paths)), key=lambda index: paths[index])
    yield from _Walk(supernet, paths).descend(supernet.begin(x), order, 0)


class _Walk:
    """A walk through the tree: states are kept on the call stack, branches of skips in ``_branches``."""

    def __init__(self, supernet: SuperNetwork, paths: Sequence[OperationPath]) -> None:
        self._supernet, self._paths = supernet, paths
        self._sources = skip_sources(supernet.topology)
        self._branches: dict[int, dict[tuple[int, Operation], Tensor]] = {}

    def descend(self, state: State, order: list[int], cell: int) -> Iterator[tuple[int, Features]]:
        """Evaluate the paths in ``order``, which agree on all cells before ``cell`` and have led to ``state``."""
        if cell == self._supernet.topology.cells:
            logits = self._supernet.finish(state)
            yield from ((index, logits) for index in order)
            return
        for operation, group in groupby(order, key=lambda index: self._paths[index][cell]):
            self._branches.pop(cell, None)  # of this cell's previous output
            after = self._supernet.step(state, cell, operation, self._skip(state, cell, operation))
            yield from self.descend(after, list(group), cell + 1)

    def _skip(self, state: State, cell: int, operation: Operation) -> Tensor | None:
        """The skip's branch in ``cell``, kept until its source changes; None without a skip."""
        if cell not in self._sources:
            return None
        kept = self._branches.setdefault(self._sources[cell], {})
        if (cell, operation) not in kept:
            kept[cell, operation] = self._supernet.second_branch(state, cell, operation)
        return kept[cell, operation]
