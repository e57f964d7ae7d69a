"""The topologies of a table: random ones of every cluster."""

import numpy as np

from c2fnas.search.clusters import TopologyCluster, cluster_topologies
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

Training = tuple[int, Topology, int]
"""Cluster, topology and seed of a training."""


def planned_trainings(
    space: SearchSpace, *, per_cluster: int, repeated: int = 2, seeds: int = 3, clusters: int = 8
) -> list[Training]:
    """Choose ``per_cluster`` random topologies of each cluster, the first ``repeated`` of them with ``seeds`` seeds.

    The order of a cluster's topologies is fixed, so that a larger table holds the smaller one. Clusters take turns, so
    that a table cut short is balanced.
    """
    ordered: list[tuple[tuple[int, int, int], Training]] = []
    topologies = space.topologies()
    for cluster in cluster_topologies(topologies, clusters=min(clusters, len(topologies)), seed=0):
        for place, topology in enumerate(_shuffled(cluster)[:per_cluster]):
            for seed in range(seeds if place < repeated else 1):
                ordered.append(((place + 4 * seed, seed, cluster.index), (cluster.index, topology, seed)))
    return [training for _, training in sorted(ordered, key=lambda each: each[0])]


def _shuffled(cluster: TopologyCluster) -> list[Topology]:
    order = np.random.default_rng((0, cluster.index)).permutation(len(cluster.topologies))
    return [cluster.topologies[place] for place in order]
