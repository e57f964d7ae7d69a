"""A candidate as a plain network 𝒩(s, c, w), and the trunk shared with the super-network (paper 3.2 and 4.1)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from c2fnas.networks.blocks import Features, crop_end, initialise, pad_end
from c2fnas.networks.cell import Cell
from c2fnas.networks.channels_last import CHANNELS_LAST, eager_on_cpu
from c2fnas.networks.stem import StemIn, StemOut
from c2fnas.shapes import Size
from c2fnas.space.architecture import Architecture
from c2fnas.space.geometry import level_sizes, padded_size
from c2fnas.space.operation import Operation
from c2fnas.space.topology import STEM, Topology


@dataclass(frozen=True)
class State:
    """A forward pass after some cells: the outputs that later cells need, by cell (−1 is the stem)."""

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
        self._last_use = _last_uses(topology)
        initialise(self)

    def begin(self, x: Features) -> State:
        """Start a forward pass with the stem; an input whose lowest level would be one voxel is padded with zeros."""
        i, j, k = x.shape[2:]
        input_size: Size = (i, j, k)
        size = padded_size(input_size, self.topology.downsamplings)
        if size != input_size:
            x = pad_end(x, size)
        if eager_on_cpu(x):
            x = x.clone(memory_format=CHANNELS_LAST)
        return State({STEM: self.stem_in(x)}, input_size, level_sizes(size, self.topology.downsamplings))

    def step(self, state: State, cell: int, operation: Operation, second: Tensor | None = None) -> State:
        """Return ``state`` after ``cell`` (from 0) with ``operation``, without the outputs that no later cell needs.

        ``second`` is the result of :meth:`second_branch`, where it is known already.
        """
        inputs = [state.outputs[source] for source in self.topology.inputs[cell]]
        output = self.cells[cell](inputs, operation, state.sizes[self.topology.code[cell] + 1], second)
        kept = {source: kept for source, kept in state.outputs.items() if self._last_use.get(source, -2) > cell}
        return State({**kept, cell: output}, state.input_size, state.sizes)

    def second_branch(self, state: State, cell: int, operation: Operation) -> Tensor:
        """Return the second input of ``cell`` after its branch with ``operation``, before the sum with the first."""
        part = self.cells[cell]
        assert isinstance(part, Cell)
        return part.branches[1](state.outputs[self.topology.inputs[cell][1]], operation)

    def finish(self, state: State) -> Features:
        """Return the logits, cropped to the input's size."""
        outputs = [state.outputs[source] for source in self.topology.outputs]
        return crop_end(self.stem_out(outputs, state.sizes[0]), state.input_size)

    def walk(self, x: Features, path: Sequence[Operation]) -> Features:
        """Return the logits of ``x`` along ``path``, one operation per cell."""
        state = self.begin(x)
        for cell, operation in enumerate(path):
            state = self.step(state, cell, operation)
        return self.finish(state)


class SegmentationNetwork(Trunk):
    """The network of an architecture: ``[batch, in_channels, i, j, k] -> [batch, classes, i, j, k]`` logits.

    Any size from 1×1×1 will do. A size that is no multiple of 16 passes through as it is. One whose lowest level would
    be a single voxel, where instance normalisation fails, is padded and the logits are cropped.
    """

    def __init__(self, architecture: Architecture, *, in_channels: int, classes: int) -> None:
        super().__init__(
            architecture.topology,
            [[operation] for operation in architecture.operations],
            width=architecture.width,
            in_channels=in_channels,
            classes=classes,
        )
        self.architecture = architecture

    def forward(self, x: Features) -> Features:
        """Return the logits of ``x``."""
        return self.walk(x, self.architecture.operations)


def build_network(architecture: Architecture, *, in_channels: int, classes: int) -> SegmentationNetwork:
    """Build the network of ``architecture``; ``classes`` counts the background.

    >>> import torch
    >>> architecture = Architecture.from_text("0:3D 1:P3D 0:2D @0.125")
    >>> build_network(architecture, in_channels=1, classes=3)(torch.zeros(2, 1, 9, 12, 8)).shape
    torch.Size([2, 3, 9, 12, 8])
    """
    return SegmentationNetwork(architecture, in_channels=in_channels, classes=classes)


def _last_uses(topology: Topology) -> dict[int, int]:
    """The last cell that needs each output; those of the stem-out are needed to the end."""
    uses = {source: cell for cell, sources in enumerate(topology.inputs) for source in sources}
    return uses | dict.fromkeys(topology.outputs, topology.cells)
