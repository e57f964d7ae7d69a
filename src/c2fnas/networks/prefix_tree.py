"""Many paths at once: they form a tree over the cells, and a shared prefix is computed once, which is exact."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch

from c2fnas.networks.blocks import Features
from c2fnas.networks.supernet import SuperNetwork
from c2fnas.networks.trunk import State
from c2fnas.space.operation import Operation

PathOfOperations = tuple[Operation, ...]


@torch.no_grad()  # as a decorator: a with-block in a generator would leak into the caller between two paths
def evaluate_paths(
    supernet: SuperNetwork, x: Features, paths: Sequence[PathOfOperations]
) -> Iterator[tuple[int, Features]]:
    """Yield ``(index into paths, logits)`` of every path, walking their prefix tree depth first.

    Memory is that of one path's activations plus one kept state per cell. Equal to ``supernet(x, path)`` bit for bit on
    the CPU, since every operation sees the same tensor.
    """
    order = sorted(range(len(paths)), key=lambda index: paths[index])
    yield from _descend(supernet, supernet.begin(x), order, paths, 0)


def _descend(
    supernet: SuperNetwork, state: State, order: list[int], paths: Sequence[PathOfOperations], cell: int
) -> Iterator[tuple[int, Features]]:
    """The paths in ``order`` agree on all cells before ``cell``, where ``state`` stands."""
    if cell == supernet.topology.cells:
        logits = supernet.finish(state)
        yield from ((index, logits) for index in order)
        return
    for operation, group in groupby(order, key=lambda index: paths[index][cell]):
        yield from _descend(supernet, supernet.step(state, cell, operation), list(group), paths, cell + 1)
