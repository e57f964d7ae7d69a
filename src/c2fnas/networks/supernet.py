"""The super-network of the fine stage (paper 3.4): every operation of every cell, one path at a time."""

from collections.abc import Sequence

from c2fnas.networks.blocks import Features
from c2fnas.networks.network import SegmentationNetwork, Trunk
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation, OperationPath
from c2fnas.space.topology import Topology


class SuperNetwork(Trunk):
    """𝒮(s*, c, w): stems, resampling and 1×1×1 convolutions are shared, operations and their norms are separate.

    A forward pass, ``[batch, in_channels, i, j, k] -> [batch, classes, i, j, k]``, computes one path. It takes the
    memory of a single network plus the idle weights. Weights off the path get no gradient at all: momentum and weight
    decay would still move a zero one.

    >>> import torch
    >>> supernet = SuperNetwork(Topology((0, 1, 0)), in_channels=1, classes=2, width=0.125)
    >>> supernet(torch.zeros(1, 1, 9, 12, 8), (Operation.CONV3D, Operation.P3D, Operation.CONV2D)).shape
    torch.Size([1, 2, 9, 12, 8])
    """

    def __init__(
        self,
        topology: Topology,
        *,
        in_channels: int,
        classes: int,
        width: float = 1.0,
        operations: Sequence[Operation] = tuple(Operation),
    ) -> None:
        super().__init__(topology, [operations] * topology.cells, width=width, in_channels=in_channels, classes=classes)
        self.width, self.in_channels, self.classes = width, in_channels, classes

    def forward(self, x: Features, path: OperationPath) -> Features:
        """Return the logits of ``x`` along ``path``, one operation per cell."""
        return self.walk(x, path)

    def extract(self, path: OperationPath) -> SegmentationNetwork:
        """Return a stand-alone network of ``path`` with a copy of its weights; the outputs are equal bit for bit."""
        architecture = Architecture(self.topology, tuple(path), self.width)
        network = SegmentationNetwork(architecture, in_channels=self.in_channels, classes=self.classes)
        own = dict(self.named_parameters())
        network.load_state_dict({name: own[name].detach().clone() for name in network.state_dict()})
        return network.train(self.training)
