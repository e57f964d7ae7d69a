"""What a network and the super-network share: the stems, the cells, and walking through them cell by cell."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn import functional

from c2fnas.networks.blocks import Features, initialise
from c2fnas.networks.cell import Cell
from c2fnas.networks.stem import StemIn, StemOut
from c2fnas.shapes import Size
from c2fnas.space.architecture import Architecture
from c2fnas.space.geometry import level_sizes, padded_size
from c2fnas.space.operation import Operation
from c2fnas.space.topology import STEM, Topology


@dataclass(frozen=True)
class State:
    """Where a forward pass stands after some cells: the outputs that later cells need, by cell (−1 is the stem)."""

    outputs: dict[int, Tensor] = field(repr=False)
    input_size: Size
    sizes: tuple[Size, ...]


class Trunk(nn.Module):
    """Stem, cells of a topology, stem; each cell holds ``operations[cell]`` to choose from."""

    def __init__(
        self,
        topology: Topology,
        operations: Sequence[Sequence[Operation]],
        *,
        width: float,
        in_channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.topology = topology
        frame = Architecture.uniform(topology, width=width)
        self.stem_in = StemIn(in_channels, frame.stem_filters)
        self.cells = nn.ModuleList(
            Cell(frame.filters(level), move, len(sources), choices)
            for level, move, sources, choices in zip(
                topology.code, topology.moves, topology.inputs, operations, strict=True
            )
        )
        level_0 = frame.filters(0)
        self.stem_out = StemOut(level_0 * len(topology.outputs), level_0, classes)
        self._last_use = last_uses(topology)
        initialise(self)

    def begin(self, x: Features) -> State:
        """The stem; an input whose lowest level would be one voxel is padded with zeros (cropped in ``finish``)."""
        i, j, k = x.shape[2:]
        input_size: Size = (i, j, k)
        size = padded_size(input_size, self.topology.downsamplings)
        if size != input_size:
            x = functional.pad(x, _padding(input_size, size))
        return State({STEM: self.stem_in(x)}, input_size, level_sizes(size, self.topology.downsamplings))

    def step(self, state: State, cell: int, operation: Operation, second: Tensor | None = None) -> State:
        """Carry ``state`` through ``cell`` (from 0) with ``operation``; outputs that nothing needs now are let go.

        ``second`` is what :meth:`second_branch` gives, where it is known already.
        """
        inputs = [state.outputs[source] for source in self.topology.inputs[cell]]
        output = self.cells[cell](inputs, operation, state.sizes[self.topology.code[cell] + 1], second)
        kept = {source: kept for source, kept in state.outputs.items() if self._last_use.get(source, -2) > cell}
        return State({**kept, cell: output}, state.input_size, state.sizes)

    def second_branch(self, state: State, cell: int, operation: Operation) -> Tensor:
        """The second input of ``cell`` on its way through ``operation``, before the sum with the first."""
        part = self.cells[cell]
        assert isinstance(part, Cell)
        return part.branches[1](state.outputs[self.topology.inputs[cell][1]], operation)

    def finish(self, state: State) -> Features:
        """The logits, of the input's size."""
        outputs = [state.outputs[source] for source in self.topology.outputs]
        logits = self.stem_out(outputs, state.sizes[0])
        return logits[(..., *(slice(0, size) for size in state.input_size))]

    def walk(self, x: Features, path: Sequence[Operation]) -> Features:
        """The whole way along ``path``, one operation per cell."""
        state = self.begin(x)
        for cell, operation in enumerate(path):
            state = self.step(state, cell, operation)
        return self.finish(state)


def last_uses(topology: Topology) -> dict[int, int]:
    """The last cell that needs each output; those of the stem-out are needed to the end."""
    uses = {source: cell for cell, sources in enumerate(topology.inputs) for source in sources}
    return uses | dict.fromkeys(topology.outputs, topology.cells)


def _padding(size: Size, padded: Size) -> list[int]:
    """What ``functional.pad`` takes: last axis first, all of it at the end."""
    return [amount for have, want in reversed(list(zip(size, padded, strict=True))) for amount in (0, want - have)]
