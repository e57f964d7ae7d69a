"""The search space 𝒜 = 𝒮 × 𝒞: topologies, operations, architectures and their cost (paper 3.2 to 3.4)."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "architecture": ["Architecture"],
        "clusters": ["TopologyCluster", "cluster_topologies", "restrict_clusters"],
        "cost": ["CellCost", "Cost", "NetworkCost", "network_cost"],
        "drawing": ["draw_text"],
        "geometry": ["level_sizes", "padded_size"],
        "memory": ["TrainingMemory", "training_memory"],
        "operation": ["Operation", "OperationPath"],
        "search_space": ["SearchSpace"],
        "topology": ["Move", "Topology"],
    },
)
