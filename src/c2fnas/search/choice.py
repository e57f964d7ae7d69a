"""The searchers of topologies by name, as ``--sampler`` gives it."""

from collections.abc import Sequence

from c2fnas.search.algorithm1 import ClusterEvolution
from c2fnas.search.optuna_search import OptunaSearch, optuna_sampler
from c2fnas.search.random_search import RandomSearch
from c2fnas.search.regularised_evolution import RegularisedEvolution
from c2fnas.search.searcher import Searcher
from c2fnas.search.surrogate_evolution import SurrogateEvolution
from c2fnas.space.clusters import TopologyCluster

SEARCHERS = {
    "algorithm1": "Algorithm 1 of the paper",
    "surrogate": "Algorithm 1, a Gaussian process choosing within the cluster",
    "random": "all untrained topologies equally likely",
    "regularised-evolution": "regularised evolution",
    "optuna-random": "Optuna's random sampler on the code",
    "tpe": "Optuna's tree-structured Parzen estimator on the code",
    "gp": "Optuna's Gaussian process on the code",
}
"""Every name, and what it stands for."""


def make_searcher(
    name: str,
    clusters: Sequence[TopologyCluster],
    *,
    seed: int,
    evaluations: int = 50,
    per_cluster: int = 2,
    random_share: float = 0.2,
) -> Searcher:
    """The searcher ``name`` among the topologies of ``clusters``; those without clusters pass over what concerns them.

    Regularised evolution starts with as many random networks as the clusters would.

    Raises:
        ValueError: an unknown name, or settings that the searcher refuses.

    >>> from c2fnas.space.clusters import cluster_topologies
    >>> from c2fnas.space.search_space import SearchSpace
    >>> searcher = make_searcher("algorithm1", cluster_topologies(SearchSpace().topologies()), seed=0)
    >>> searcher.ask().branch
    'initial'
    """
    if name in ("algorithm1", "surrogate"):
        kind = ClusterEvolution if name == "algorithm1" else SurrogateEvolution
        return kind(clusters, seed=seed, evaluations=evaluations, per_cluster=per_cluster, random_share=random_share)
    topologies = sorted(topology for cluster in clusters for topology in cluster.topologies)
    if name == "random":
        return RandomSearch(topologies, seed=seed, evaluations=evaluations)
    if name == "regularised-evolution":
        first = max(1, per_cluster * len(clusters))
        return RegularisedEvolution(topologies, seed=seed, evaluations=evaluations, population=first)
    if name not in SEARCHERS:
        raise ValueError(f"{name}: no such sampler; choose among {', '.join(SEARCHERS)}")
    sampler = optuna_sampler(name.removeprefix("optuna-"))
    return OptunaSearch(topologies, sampler, seed=seed, evaluations=evaluations)
