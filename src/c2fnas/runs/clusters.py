"""The clusters of a run's topologies, from which its search draws (paper 3.3)."""

from c2fnas.runs.config import RunConfig
from c2fnas.search.clusters import TopologyCluster, cluster_topologies


def clusters_of(config: RunConfig) -> tuple[TopologyCluster, ...]:
    """Return the clusters of a run's space: as many as it is configured with, in a small one a topology each."""
    topologies = config.space.topologies()
    return cluster_topologies(topologies, clusters=min(config.coarse.clusters, len(topologies)), seed=config.seed)
