"""Choice of the next candidate: searchers of topologies, paths of the fine stage, successive halving. Needs no torch.

A searcher is asked for a candidate and told its score; the loop belongs to the caller:

>>> from c2fnas.search import ClusterEvolution, cluster_topologies
>>> from c2fnas.space.search_space import SearchSpace
>>> searcher = ClusterEvolution(cluster_topologies(SearchSpace().topologies()), seed=0, evaluations=10)
>>> while (proposal := searcher.ask()) is not None:
...     searcher.tell(proposal.topology, sum(proposal.topology.code) / 36)
>>> searcher.successes
10
"""

from c2fnas.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "algorithm1": ["ClusterEvolution"],
        "answer": ["Standing", "settling_training", "standing"],
        "base": ["AsynchronousSearcher"],
        "bayesian": ["BayesianSearch", "TopologyModel"],
        "choice": ["SEARCHERS", "make_searcher"],
        "cluster_sampler": ["ClusterEvolutionSampler", "suggest_topology"],
        "clusters": ["TopologyCluster", "cluster_topologies", "restrict_clusters"],
        "operation_effects": ["path_posterior", "take_path"],
        "optuna_search": ["OptunaSearch", "optuna_sampler"],
        "paths": ["PathEvolution", "StrictPaths", "UniformPaths", "random_paths"],
        "pooled": ["PooledSearch", "Size", "Training"],
        "posterior": ["Posterior", "ScoreModel"],
        "random_search": ["RandomSearch"],
        "ranks": ["is_on_front", "kendall_tau", "tau_interval"],
        "regularised_evolution": ["RegularisedEvolution"],
        "searcher": ["Asked", "Noting", "Proposal", "Searcher", "Told"],
        "successive_halving": ["Rung", "RungResult", "judge_at_rung", "plan_rungs", "survivors"],
        "surrogate_evolution": ["SurrogateEvolution"],
        "width_grid": ["scaling_grid"],
    },
)
