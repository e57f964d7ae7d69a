"""A cell and the operations it may carry (paper 3.4, 4.1 and Figure 5, right)."""

from collections.abc import Sequence

from torch import nn

from c2fnas.networks.blocks import ConvBlock, DownSampling, Features, UpSampling
from c2fnas.space.operation import Operation
from c2fnas.space.topology import Move


def build_operation(operation: Operation, filters: int) -> nn.Sequential:
    """Build the searched operation; the last axis is the through-plane one."""
    match operation:
        case Operation.CONV3D:
            return nn.Sequential(ConvBlock(filters, filters, (3, 3, 3)))
        case Operation.P3D:
            return nn.Sequential(ConvBlock(filters, filters, (3, 3, 1)), ConvBlock(filters, filters, (1, 1, 3)))
        case Operation.CONV2D:
            return nn.Sequential(ConvBlock(filters, filters, (3, 3, 1)))


class Branch(nn.Module):
    """The branch of one input in a cell: a 1×1×1 convolution, then an operation with weights of its own."""

    def __init__(self, filters: int, operations: Sequence[Operation]) -> None:
        super().__init__()
        self.preprocess = ConvBlock(filters, filters)
        self.operations = nn.ModuleDict(
            {key(operation): build_operation(operation, filters) for operation in operations}
        )

    def forward(self, x: Features, operation: Operation) -> Features:
        """Return ``x`` after ``operation``; the others are not used."""
        return self.operations[key(operation)](self.preprocess(x))


class Cell(nn.Module):
    """Resampling where the cell goes down or up, a branch for each input, their sum, and a 1×1×1 convolution.

    A cell of a network holds one operation, a cell of the super-network all of them.
    """

    def __init__(self, filters: int, move: Move, inputs: int, operations: Sequence[Operation]) -> None:
        super().__init__()
        self.resample: nn.Module | None = None
        if move is Move.DOWN:
            self.resample = DownSampling(filters // 2)
        elif move is Move.UP:
            self.resample = UpSampling(filters * 2)
        self.branches = nn.ModuleList(Branch(filters, operations) for _ in range(inputs))
        self.postprocess = ConvBlock(filters, filters)

    def forward(
        self, inputs: Sequence[Features], operation: Operation, size: Sequence[int], second: Features | None = None
    ) -> Features:
        """Return the cell's output for one or two inputs, the previous output first; ``size`` is its level's.

        ``second`` is the result of the second input's branch, where it is known already.
        """
        previous, *others = inputs
        if isinstance(self.resample, UpSampling):
            previous = self.resample(previous, size)
        elif self.resample is not None:
            previous = self.resample(previous)
        total = self.branches[0](previous, operation)
        for branch, features in zip(self.branches[1:], others, strict=True):
            total = total + (branch(features, operation) if second is None else second)
        return self.postprocess(total)


def key(operation: Operation) -> str:
    """Return an operation's name among modules."""
    return operation.name.lower()
