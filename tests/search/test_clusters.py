import numpy as np
import pytest

from c2fnas.search.clusters import cluster_topologies, restrict_clusters
from c2fnas.space.search_space import SearchSpace

TOPOLOGIES = SearchSpace().topologies()


def test_clusters_are_a_partition():
    clusters = cluster_topologies(TOPOLOGIES)
    assert [cluster.index for cluster in clusters] == list(range(8))
    assert sorted(topology for cluster in clusters for topology in cluster.topologies) == list(TOPOLOGIES)


def test_every_topology_is_in_the_cluster_with_the_nearest_centre():
    """K-means has converged: the property that defines its clusters holds for all 924."""
    codes = [np.array([topology.code for topology in cluster.topologies]) for cluster in cluster_topologies(TOPOLOGIES)]
    centres = np.array([members.mean(axis=0) for members in codes])
    for index, members in enumerate(codes):
        distances = np.linalg.norm(members[:, None] - centres, axis=2)
        assert (distances[:, index] <= distances.min(axis=1) + 1e-9).all()


def test_same_seed_gives_same_clusters_whatever_the_order():
    shuffled = list(TOPOLOGIES)
    np.random.default_rng(0).shuffle(shuffled)  # type: ignore[arg-type]
    assert cluster_topologies(shuffled, seed=3) == cluster_topologies(TOPOLOGIES, seed=3)


def test_as_many_clusters_as_topologies():
    topologies = SearchSpace(4, 1).topologies()
    clusters = cluster_topologies(topologies, clusters=6)
    assert [cluster.topologies for cluster in clusters] == [(topology,) for topology in topologies]


@pytest.mark.parametrize("clusters", [0, 7])
def test_impossible_number_of_clusters(clusters: int):
    with pytest.raises(ValueError, match="6 topologies cannot form"):
        cluster_topologies(SearchSpace(4, 1).topologies(), clusters=clusters)


def test_restricted_clusters_keep_their_index_and_empty_ones_go():
    clusters = cluster_topologies(TOPOLOGIES)
    admitted = {*clusters[2].topologies[:3], *clusters[5].topologies}
    restricted = restrict_clusters(clusters, admitted)
    assert [cluster.index for cluster in restricted] == [2, 5]
    assert [len(cluster.topologies) for cluster in restricted] == [3, len(clusters[5].topologies)]
    assert restrict_clusters(clusters, set(TOPOLOGIES)) == clusters
