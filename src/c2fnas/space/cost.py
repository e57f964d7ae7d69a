"""Cost of an architecture in closed form, without torch: parameters and multiply-accumulates (paper Table 2).

Agrees exactly with :func:`c2fnas.networks.count_network` on the built network. The paper's "FLOPs" are
multiply-accumulates of the convolutions; parameters are all learnable numbers, affine norms included.
"""

from dataclasses import dataclass
from math import prod

from c2fnas.shapes import Size
from c2fnas.space.architecture import Architecture
from c2fnas.space.geometry import level_sizes, padded_size
from c2fnas.space.operation import Operation
from c2fnas.space.topology import Move

POINT, CUBE = 1, 27
KERNELS = {Operation.CONV3D: (27,), Operation.P3D: (9, 3), Operation.CONV2D: (9,)}
"""Voxels under the kernel of each convolution of an operation."""


@dataclass(frozen=True)
class Cost:
    """Numbers of parameters and of multiply-accumulates."""

    parameters: int
    macs: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.parameters + other.parameters, self.macs + other.macs)


@dataclass(frozen=True)
class CellCost:
    """Place and cost of a cell, counted from 1, with its resampling.

    ``branch_macs`` are those of one branch: the 1×1×1 convolution and the operation of one input.
    """

    cell: int
    operation: Operation
    level: int
    filters: int
    inputs: tuple[int, ...]
    size: Size
    parameters: int
    macs: int
    branch_macs: int


@dataclass(frozen=True)
class NetworkCost:
    """Cost of the whole network, of its stems and of each cell."""

    parameters: int
    macs: int
    stem_in: Cost
    stem_out: Cost
    cells: tuple[CellCost, ...]


def network_cost(architecture: Architecture, *, in_channels: int, classes: int, input_size: Size) -> NetworkCost:
    """Compute the cost of a forward pass of one input of ``input_size`` (i, j, k) voxels.

    >>> panc = network_cost(Architecture.named("c2fnas-panc"), in_channels=1, classes=3, input_size=(96, 96, 96))
    >>> round(panc.parameters / 1e6, 2), round(panc.macs / 1e9, 1)
    (17.6, 149.6)
    """
    depth = architecture.topology.downsamplings
    sizes = level_sizes(padded_size(input_size, depth), depth)
    full, half = architecture.stem_filters
    stem_in = _block(in_channels, full, CUBE, sizes[0]) + _block(full, half, CUBE, sizes[1])
    joined = half * len(architecture.topology.outputs)
    stem_out = _block(joined, half, CUBE, sizes[1]) + _classify(half, classes, sizes[0])
    cells = tuple(_cell(architecture, cell, sizes) for cell in range(architecture.topology.cells))
    total = sum((Cost(cell.parameters, cell.macs) for cell in cells), stem_in + stem_out)
    return NetworkCost(total.parameters, total.macs, stem_in, stem_out, cells)


def _block(inputs: int, outputs: int, kernel: int, size: Size) -> Cost:
    """Convolution without bias, affine norm, ReLU."""
    weights = inputs * outputs * kernel
    return Cost(weights + 2 * outputs, weights * prod(size))


def _classify(inputs: int, classes: int, size: Size) -> Cost:
    """The last convolution, the one with a bias and no norm."""
    weights = inputs * classes * CUBE
    return Cost(weights + classes, weights * prod(size))


def _cell(architecture: Architecture, cell: int, sizes: tuple[Size, ...]) -> CellCost:
    topology, operation = architecture.topology, architecture.operations[cell]
    level = topology.code[cell]
    filters, size = architecture.filters(level), sizes[level + 1]
    branch = _block(filters, filters, POINT, size)
    for kernel in KERNELS[operation]:
        branch += _block(filters, filters, kernel, size)
    total = _resampling(topology.moves[cell], filters, size) + _block(filters, filters, POINT, size)
    for _ in topology.inputs[cell]:
        total += branch
    place = (cell + 1, operation, level, filters, topology.inputs[cell], size)
    return CellCost(*place, parameters=total.parameters, macs=total.macs, branch_macs=branch.macs)


def _resampling(move: Move, filters: int, size: Size) -> Cost:
    """The convolution of a cell's resampling; an interpolation multiplies no weights."""
    if move is Move.DOWN:
        return _block(filters // 2, filters, CUBE, size)
    if move is Move.UP:
        return _block(filters * 2, filters, POINT, size)
    return Cost(0, 0)
