"""HOW a candidate computes: cell, stem, network, super-network (paper 3.4 and 4.1)."""

from c2fnas.networks.count import count_network
from c2fnas.networks.network import SegmentationNetwork, build_network
from c2fnas.networks.supernet import SuperNetwork

__all__ = ["SegmentationNetwork", "SuperNetwork", "build_network", "count_network"]
