"""Algorithm 1: topology-similarity based evolution, asynchronous (paper 3.3 and 4.1)."""

from collections.abc import Sequence

import numpy as np

from c2fnas.search.base import AsynchronousSearcher, Choice, History, pick
from c2fnas.search.searcher import Branch
from c2fnas.space.clusters import TopologyCluster
from c2fnas.space.topology import Topology

FIRST_ATTEMPTS = 3
"""Times that the first networks of a cluster are proposed, should all of them fail, before the search moves on."""


class ClusterEvolution(AsynchronousSearcher):
    """Evolution over clusters of similar topologies.

    First ``per_cluster`` random topologies from every cluster. Then one trained network is drawn from each cluster, and
    an untrained topology of the best drawn one's cluster is proposed. With probability ``random_share`` it is one of a
    random cluster instead. The search ends with ``evaluations`` successful networks, the first ones included.

    A failed candidate is replaced. An exhausted cluster is passed over, by the random branch too. A cluster without a
    success is left out of the comparison; while no cluster has one, a random cluster is taken. Among equal scores
    chance decides.
    """

    def __init__(
        self,
        clusters: Sequence[TopologyCluster],
        *,
        seed: int,
        per_cluster: int = 2,
        evaluations: int = 50,
        random_share: float = 0.2,
    ) -> None:
        """Search among the topologies of ``clusters``.

        Raises:
            ValueError: a share outside [0, 1], a negative ``per_cluster``, or what every searcher refuses.
        """
        if not 0 <= random_share <= 1 or per_cluster < 0:
            raise ValueError("random_share is within [0, 1] and per_cluster not negative")
        topologies = [topology for cluster in clusters for topology in cluster.topologies]
        super().__init__(topologies, seed=seed, evaluations=evaluations)
        self.history: _ClusterHistory = _ClusterHistory(clusters)
        self._per_cluster, self._random_share = per_cluster, random_share

    def choose(self, rng: np.random.Generator) -> Choice:
        """Return a random untrained topology of the chosen cluster."""
        cluster, branch = self._choose_cluster(rng)
        return pick(rng, cluster.untrained), cluster.index, branch

    def _choose_cluster(self, rng: np.random.Generator) -> tuple["_Cluster", Branch]:
        available = [cluster for cluster in self.history.clusters if cluster.untrained]
        lacking = [cluster for cluster in available if cluster.lacks_first(self._per_cluster)]
        if lacking:
            return min(lacking, key=lambda cluster: cluster.alive), "initial"
        if rng.random() >= self._random_share:
            best = self._best_drawn(available, rng)
            if best is not None:
                return best, "best"
        return pick(rng, available), "random"

    def _best_drawn(self, clusters: list["_Cluster"], rng: np.random.Generator) -> "_Cluster | None":
        """Draw one trained network from every cluster and return the cluster of the best one."""
        drawn = [(pick(rng, cluster.scores), rng.random(), cluster) for cluster in clusters if cluster.scores]
        return max(drawn, key=lambda each: each[:2])[2] if drawn else None


class _Cluster:
    """A cluster and its progress; ``alive`` counts its candidates under way and its successes."""

    def __init__(self, cluster: TopologyCluster) -> None:
        self.index = cluster.index
        self.untrained = dict.fromkeys(cluster.topologies)
        self.scores: list[float] = []
        self.alive = self.asked = 0

    def lacks_first(self, wanted: int) -> bool:
        return self.alive < wanted and self.asked < FIRST_ATTEMPTS * wanted

    def ask(self, topology: Topology) -> None:
        del self.untrained[topology]
        self.asked += 1
        self.alive += 1

    def tell(self, score: float | None) -> None:
        if score is None:
            self.alive -= 1
        else:
            self.scores.append(score)


class _ClusterHistory(History):
    """A history that keeps the progress of every cluster."""

    def __init__(self, clusters: Sequence[TopologyCluster]) -> None:
        super().__init__(topology for cluster in clusters for topology in cluster.topologies)
        self.clusters = [_Cluster(cluster) for cluster in clusters]
        self.cluster_of = {topology: cluster for cluster in self.clusters for topology in cluster.untrained}

    def propose(self, topology: Topology) -> int:
        index = super().propose(topology)
        self.cluster_of[topology].ask(topology)
        return index

    def tell(self, topology: Topology, score: float | None) -> None:
        super().tell(topology, score)
        self.cluster_of[topology].tell(score)
