"""Networks of the search space: operation, cell, network, super-network (paper 3.4 and 4.1)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c2fnas.networks.count import count_network as count_network
    from c2fnas.networks.designs import Design as Design
    from c2fnas.networks.designs import build_design as build_design
    from c2fnas.networks.network import SegmentationNetwork as SegmentationNetwork
    from c2fnas.networks.network import build_network as build_network
    from c2fnas.networks.prefix_tree import evaluate_paths as evaluate_paths
    from c2fnas.networks.supernet import SuperNetwork as SuperNetwork

_MODULES = {
    "Design": "designs",
    "SegmentationNetwork": "network",
    "SuperNetwork": "supernet",
    "build_design": "designs",
    "build_network": "network",
    "count_network": "count",
    "evaluate_paths": "prefix_tree",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
