"""C2FNAS: coarse-to-fine neural architecture search for 3D medical image segmentation (CVPR 2020).

>>> from c2fnas import Architecture, build_network
>>> architecture = Architecture.named("c2fnas-panc")
>>> network = build_network(architecture, in_channels=1, classes=3)  # a plain torch.nn.Module
"""

from typing import TYPE_CHECKING, Any

from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation
from c2fnas.space.topology import Topology

if TYPE_CHECKING:
    from c2fnas.networks import build_network

__version__ = "0.2.0"
__all__ = ["Architecture", "Operation", "Topology", "__version__", "build_network"]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, so only those who build a network pay for it.
    if name == "build_network":
        from c2fnas.networks import build_network

        return build_network
    raise AttributeError(f"module 'c2fnas' has no attribute {name!r}")
