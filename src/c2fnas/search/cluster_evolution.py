"""Algorithm 1: topology-similarity based evolution, asynchronous (paper 3.3 and 4.1)."""

from collections.abc import Iterable, Sequence

import numpy as np

from c2fnas.search.history import History
from c2fnas.search.searcher import Asked, Branch, Proposal, Told
from c2fnas.space.clusters import TopologyCluster
from c2fnas.space.topology import Topology


class ClusterEvolution:
    """First ``per_cluster`` random topologies from every cluster; then, whenever asked, one trained network is drawn from
    each cluster, and an untrained topology of the best drawn one's cluster is proposed — or, with probability
    ``random_share``, one of a random cluster. Ends with ``evaluations`` successful networks.

    A failed candidate is replaced. An exhausted cluster is passed over; a cluster without a success is left out of the
    comparison; while no cluster has one, a random cluster is taken.

    The random numbers of proposal ``n`` come from ``(seed, n)``: a proposal depends on the seed, its index and what was
    told before, on nothing else, and a replayed ledger gives the same proposals.
    """

    def __init__(
        self, clusters: Sequence[TopologyCluster], *, seed: int, per_cluster: int = 2, evaluations: int = 50,
        random_share: float = 0.2,
    ) -> None:  # fmt: skip
        self._clusters = tuple(clusters)
        self._seed, self._evaluations, self._random_share = seed, evaluations, random_share
        self._per_cluster = per_cluster
        self._cluster_of = {topology: each.index for each in self._clusters for topology in each.topologies}
        self._history = History()

    @property
    def successes(self) -> int:
        """Networks that were trained and scored."""
        return len(self._history.scores)

    @property
    def best(self) -> tuple[Topology, float] | None:
        """The highest score told, the first among equals."""
        return self._history.best

    def ask(self) -> Proposal | None:
        """The next topology; None while as many are under way as could still count, or when the space is exhausted."""
        if self.successes + len(self._history.running) >= self._evaluations:
            return None
        rng = np.random.default_rng((self._seed, len(self._history.proposed)))
        choice = self._choose_cluster(rng)
        if choice is None:
            return None
        cluster, branch = choice
        untrained = self._untrained(cluster)
        topology = untrained[int(rng.integers(len(untrained)))]
        return Proposal(topology, self._history.propose(topology), cluster.index, branch)

    def tell(self, topology: Topology, score: float | None) -> None:
        """Report the score of a proposed topology; None where its training failed."""
        self._history.tell(topology, score)

    def replay(self, events: Iterable[Asked | Told]) -> None:
        """Relive a ledger in its order."""
        for event in events:
            if isinstance(event, Asked):
                self._history.propose(event.topology)
            else:
                self._history.tell(event.topology, event.score)

    def _choose_cluster(self, rng: np.random.Generator) -> tuple[TopologyCluster, Branch] | None:
        first = self._short_of_first()
        if first is not None:
            return first, "initial"
        open_clusters = [cluster for cluster in self._clusters if self._untrained(cluster)]
        if not open_clusters:
            return None
        if rng.random() >= self._random_share:
            best = self._best_drawn(open_clusters, rng)
            if best is not None:
                return best, "best"
        return open_clusters[int(rng.integers(len(open_clusters)))], "random"

    def _short_of_first(self) -> TopologyCluster | None:
        """The cluster with the fewest first networks, where one still lacks some."""
        counts = {cluster.index: 0 for cluster in self._clusters}
        for topology in self._history.proposed:
            if topology in self._history.running or topology in self._history.scores:
                counts[self._cluster_of[topology]] += 1
        lacking = [
            cluster for cluster in self._clusters
            if counts[cluster.index] < self._per_cluster and self._untrained(cluster)
        ]  # fmt: skip
        return min(lacking, key=lambda cluster: counts[cluster.index], default=None)

    def _best_drawn(self, clusters: list[TopologyCluster], rng: np.random.Generator) -> TopologyCluster | None:
        """Draw one trained network from every cluster; the cluster of the best one."""
        drawn = []
        for cluster in clusters:
            trained = [topology for topology in cluster.topologies if topology in self._history.scores]
            if trained:
                topology = trained[int(rng.integers(len(trained)))]
                drawn.append((self._history.scores[topology], cluster))
        return max(drawn, key=lambda pair: pair[0], default=(0.0, None))[1]

    def _untrained(self, cluster: TopologyCluster) -> list[Topology]:
        return [topology for topology in cluster.topologies if topology not in self._history.proposed]
