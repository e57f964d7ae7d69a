"""Multiply-accumulates that the ranking's prefix tree saves, in closed form: paths share their common beginnings."""

from dataclasses import dataclass
from functools import cached_property

from c2fnas.shapes import Size
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import NetworkCost, network_cost
from c2fnas.space.operation import Operation, OperationPath
from c2fnas.space.topology import Topology, skip_sources


@dataclass(frozen=True)
class RankingMacs:
    """Multiply-accumulates of one input through many paths: one after the other, and as the prefix tree walks them.

    ``classes`` include the background; ``input_size`` is in voxels.

    >>> from c2fnas.search.paths import random_paths
    >>> from c2fnas.space.search_space import SearchSpace
    >>> paths = tuple(random_paths(SearchSpace(), 2000, seed=0))
    >>> macs = RankingMacs(Architecture.named("c2fnas-panc").topology, paths, 1, 3, (96, 96, 96))
    >>> round(macs.naive / macs.prefixes, 2), round(macs.naive / macs.tree, 2)
    (1.58, 1.81)
    """

    topology: Topology
    paths: tuple[OperationPath, ...]
    in_channels: int
    classes: int
    input_size: Size
    width: float = 1.0

    @cached_property
    def naive(self) -> int:
        """Multiply-accumulates of every path on its own."""
        cells = sum(self._of[choice].cells[cell].macs for path in self.paths for cell, choice in enumerate(path))
        return cells + len(self.paths) * (self._ends.stem_in.macs + self._ends.stem_out.macs)

    @cached_property
    def prefixes(self) -> int:
        """Those of the stem once, each cell once per distinct beginning, the stem-out once per distinct path."""
        ends = self._ends.stem_in.macs + len(set(self.paths)) * self._ends.stem_out.macs
        cells = range(self.topology.cells)
        return ends + sum(self._of[path[-1]].cells[cell].macs for cell in cells for path in self._beginnings(cell))

    @cached_property
    def tree(self) -> int:
        """The same, with each skip through its branch once per beginning up to where it starts, and operation."""
        total = self.prefixes
        for cell, source in skip_sources(self.topology).items():
            saved = self._beginnings(cell)
            paid = {(path[: source + 1], path[-1]) for path in saved}
            total -= sum(self._of[path[-1]].cells[cell].branch_macs for path in saved)
            total += sum(self._of[operation].cells[cell].branch_macs for _, operation in paid)
        return total

    @cached_property
    def _of(self) -> dict[Operation, NetworkCost]:
        return {
            operation: network_cost(
                Architecture.uniform(self.topology, operation, self.width),
                in_channels=self.in_channels,
                classes=self.classes,
                input_size=self.input_size,
            )
            for operation in Operation
        }

    @property
    def _ends(self) -> NetworkCost:
        return self._of[Operation.CONV3D]

    def _beginnings(self, cell: int) -> set[OperationPath]:
        return {path[: cell + 1] for path in self.paths}
