"""Networks of the search space: operation, cell, network, super-network (paper 3.4 and 4.1)."""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "count": ["count_network"],
        "designs": ["Design", "build_design"],
        "network": ["SegmentationNetwork", "build_network"],
        "prefix_tree": ["evaluate_paths"],
        "supernet": ["SuperNetwork"],
    },
)
