"""Clusters of similar topologies: K-means on their codes (paper 3.3 and 4.1)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from c2fnas.space.topology import Topology


@dataclass(frozen=True)
class TopologyCluster:
    """Topologies whose codes lie closer to this cluster's centre than to any other."""

    index: int
    topologies: tuple[Topology, ...]


def cluster_topologies(topologies: Sequence[Topology], clusters: int = 8, seed: int = 0) -> tuple[TopologyCluster, ...]:
    """Classify topologies into ``clusters`` clusters by K-means with the Euclidean metric of their codes.

    Deterministic for a seed; clusters are numbered by their first topology in sorted order, not by chance.

    Raises:
        ValueError: more clusters than topologies.
    """
    from sklearn.cluster import KMeans

    if not 1 <= clusters <= len(topologies):
        raise ValueError(f"{len(topologies)} topologies cannot form {clusters} clusters")
    ordered = sorted(topologies)
    codes = [topology.code for topology in ordered]
    labels = KMeans(clusters, n_init=10, random_state=seed, algorithm="lloyd").fit_predict(codes)
    members: dict[int, list[Topology]] = {}
    for topology, label in zip(ordered, labels.tolist(), strict=True):
        members.setdefault(label, []).append(topology)
    return tuple(TopologyCluster(index, tuple(group)) for index, group in enumerate(members.values()))


def restrict_clusters(
    clusters: Sequence[TopologyCluster], topologies: Collection[Topology]
) -> tuple[TopologyCluster, ...]:
    """The same clusters with none but ``topologies``, such as those that a limit on the cost admits; empty ones go.

    Indices stay those of ``clusters``, so that a cluster is the same one with and without the limit.
    """
    kept = (
        TopologyCluster(cluster.index, tuple(topology for topology in cluster.topologies if topology in topologies))
        for cluster in clusters
    )
    return tuple(cluster for cluster in kept if cluster.topologies)
