"""Clusters of similar topologies: K-means on their codes (paper 3.3 and 4.1)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from c2fnas.space.topology import Topology


@dataclass(frozen=True)
class TopologyCluster:
    """Topologies whose codes are nearest to the centre of this cluster."""

    index: int
    topologies: tuple[Topology, ...]


def cluster_topologies(topologies: Sequence[Topology], clusters: int = 8, seed: int = 0) -> tuple[TopologyCluster, ...]:
    """Group topologies into ``clusters`` clusters by K-means on their codes, with the Euclidean metric.

    Deterministic for a seed; clusters are numbered by their first topology in sorted order.

    Raises:
        ValueError: more clusters than topologies.
    """
    if not 1 <= clusters <= len(topologies):
        raise ValueError(f"{len(topologies)} topologies cannot form {clusters} clusters")
    ordered = sorted(topologies)
    labels = _labels(tuple(topology.code for topology in ordered), clusters, seed)
    members: dict[int, list[Topology]] = {}
    for topology, label in zip(ordered, labels, strict=True):
        members.setdefault(label, []).append(topology)
    return tuple(TopologyCluster(index, tuple(group)) for index, group in enumerate(members.values()))


@lru_cache(maxsize=8)
def _labels(codes: tuple[tuple[int, ...], ...], clusters: int, seed: int) -> tuple[int, ...]:
    from sklearn.cluster import KMeans

    return tuple(KMeans(clusters, n_init=10, random_state=seed, algorithm="lloyd").fit_predict(codes).tolist())


def restrict_clusters(
    clusters: Sequence[TopologyCluster], topologies: Collection[Topology]
) -> tuple[TopologyCluster, ...]:
    """Return the clusters with only ``topologies`` in them, such as those within a limit on the cost.

    Empty clusters are left out. The others keep their index, so that a cluster is the same with and without the limit.
    """
    kept = (
        (each.index, tuple(topology for topology in each.topologies if topology in topologies)) for each in clusters
    )
    return tuple(TopologyCluster(index, members) for index, members in kept if members)
