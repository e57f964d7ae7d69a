"""The network by which times and memory are foreseen before any is known."""

from c2fnas.space.architecture import Architecture
from c2fnas.space.search_space import SearchSpace


def middle_network(space: SearchSpace, width: float) -> Architecture:
    """Return the network that stands for a space: the middle one of its topologies, 3D in every cell."""
    topologies = space.topologies()
    return Architecture.uniform(topologies[len(topologies) // 2], width=width)
