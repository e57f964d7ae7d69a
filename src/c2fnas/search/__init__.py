"""Choice of the next candidate: searchers of topologies, paths of the fine stage, successive halving. Needs no torch.

A searcher is asked for a candidate and told its score; the loop belongs to the caller:

>>> from c2fnas.search import ClusterEvolution
>>> from c2fnas.space.clusters import cluster_topologies
>>> from c2fnas.space.search_space import SearchSpace
>>> searcher = ClusterEvolution(cluster_topologies(SearchSpace().topologies()), seed=0, evaluations=10)
>>> while (proposal := searcher.ask()) is not None:
...     searcher.tell(proposal.topology, sum(proposal.topology.code) / 36)
>>> searcher.successes
10
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c2fnas.search.algorithm1 import ClusterEvolution
    from c2fnas.search.base import AsynchronousSearcher
    from c2fnas.search.baselines import RandomSearch, RegularisedEvolution
    from c2fnas.search.choice import SEARCHERS, make_searcher
    from c2fnas.search.optuna_sampler import ClusterEvolutionSampler, suggest_topology
    from c2fnas.search.optuna_search import OptunaSearch, optuna_sampler
    from c2fnas.search.paths import PathEvolution, StrictPaths, UniformPaths, random_paths
    from c2fnas.search.ranks import is_on_front, kendall_tau, tau_interval
    from c2fnas.search.scaling_grid import scaling_grid
    from c2fnas.search.searcher import Asked, Proposal, Searcher, Told
    from c2fnas.search.successive_halving import Rung, RungResult, judge_at_rung, plan_rungs, survivors
    from c2fnas.search.surrogate_evolution import SurrogateEvolution

_MODULES = (  # in this order, since the last one imports Optuna
    *(
        "searcher",
        "base",
        "algorithm1",
        "baselines",
        "surrogate_evolution",
        "choice",
        "optuna_search",
        "paths",
        "ranks",
    ),
    *("scaling_grid", "successive_halving", "optuna_sampler"),
)
__all__ = [
    "SEARCHERS",
    "Asked",
    "AsynchronousSearcher",
    "ClusterEvolution",
    "ClusterEvolutionSampler",
    "OptunaSearch",
    "PathEvolution",
    "Proposal",
    "RandomSearch",
    "RegularisedEvolution",
    "Rung",
    "RungResult",
    "Searcher",
    "StrictPaths",
    "SurrogateEvolution",
    "Told",
    "UniformPaths",
    "is_on_front",
    "judge_at_rung",
    "kendall_tau",
    "make_searcher",
    "optuna_sampler",
    "plan_rungs",
    "random_paths",
    "scaling_grid",
    "suggest_topology",
    "survivors",
    "tau_interval",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            loaded = vars(import_module(f"{__name__}.{module}"))
            if name in loaded:
                return loaded[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
