"""The search space 𝒜 = 𝒮 × 𝒞: topologies, operations, architectures and their cost (paper 3.2 to 3.4)."""

from c2fnas.space.architecture import Architecture
from c2fnas.space.clusters import TopologyCluster, cluster_topologies, restrict_clusters
from c2fnas.space.cost import CellCost, Cost, NetworkCost, network_cost
from c2fnas.space.drawing import draw_text
from c2fnas.space.geometry import level_sizes, padded_size
from c2fnas.space.memory import TrainingMemory, training_memory
from c2fnas.space.operation import Operation, OperationPath
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Move, Topology

__all__ = [
    "Architecture",
    "CellCost",
    "Cost",
    "Move",
    "NetworkCost",
    "Operation",
    "OperationPath",
    "SearchSpace",
    "Topology",
    "TopologyCluster",
    "TrainingMemory",
    "cluster_topologies",
    "draw_text",
    "level_sizes",
    "network_cost",
    "padded_size",
    "restrict_clusters",
    "training_memory",
]
