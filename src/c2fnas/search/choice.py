"""Searchers of topologies by name, as ``--sampler`` gives it: one of ours, or a user's own as ``module:name``."""

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module

from c2fnas.errors import UserError
from c2fnas.search.algorithm1 import ClusterEvolution
from c2fnas.search.base import History
from c2fnas.search.bayesian import BayesianSearch
from c2fnas.search.clusters import TopologyCluster
from c2fnas.search.optuna_search import OptunaSearch, optuna_sampler
from c2fnas.search.posterior import Kind
from c2fnas.search.random_search import RandomSearch
from c2fnas.search.regularised_evolution import RegularisedEvolution
from c2fnas.search.searcher import Asked, Noting, Proposal, Searcher, Told
from c2fnas.search.surrogate_evolution import SurrogateEvolution
from c2fnas.space.topology import Topology

SEARCHERS = {
    "algorithm1": "Algorithm 1 of the paper",
    "bayesian": "Thompson sampling of a Bayesian linear model of the code",
    "bayesian-gp": "the same, with a Gaussian process beside the linear part",
    "surrogate": "Algorithm 1, a Gaussian process choosing within the cluster",
    "random": "all untrained topologies equally likely",
    "regularised-evolution": "regularised evolution",
    "optuna-random": "Optuna's random sampler on the code",
    "tpe": "Optuna's tree-structured Parzen estimator on the code",
    "gp": "Optuna's Gaussian process on the code",
}
"""Our own, by name."""

MEMBERS = ("successes", "best", "ask", "tell", "replay")


def check_sampler_name(name: str) -> str:
    """Return ``name`` if it is one of ours or has the form ``module:name``; nothing is imported.

    Raises:
        ValueError: it is neither.
    """
    if name not in SEARCHERS and ":" not in name:
        raise ValueError(f"{name} is no sampler, choose among {', '.join(SEARCHERS)}, or give your own as module:name")
    return name


def make_searcher(
    name: str,
    clusters: Sequence[TopologyCluster],
    *,
    seed: int,
    evaluations: int = 50,
    per_cluster: int = 2,
    random_share: float = 0.2,
    guess: Mapping[Topology, float] | None = None,
) -> Searcher:
    """Return the searcher ``name`` among the topologies of ``clusters``.

    Searchers without clusters do not use ``per_cluster`` and ``random_share``, except that regularised evolution starts
    with as many random networks as the clusters would. ``guess``, the Dice of every topology from elsewhere, is what a
    Bayesian one begins with. A user's own is made by :func:`call_factory`, and its proposals are checked.

    Raises:
        ValueError: an unknown name, or settings that the searcher refuses.
        UserError: ``module:name`` can't be imported, or gives no searcher.

    >>> from c2fnas.search.clusters import cluster_topologies
    >>> from c2fnas.space.search_space import SearchSpace
    >>> searcher = make_searcher("algorithm1", cluster_topologies(SearchSpace().topologies()), seed=0)
    >>> searcher.ask().branch
    'initial'
    """
    check_sampler_name(name)
    if name in ("algorithm1", "surrogate"):
        kind = ClusterEvolution if name == "algorithm1" else SurrogateEvolution
        return kind(clusters, seed=seed, evaluations=evaluations, per_cluster=per_cluster, random_share=random_share)
    topologies = sorted(topology for cluster in clusters for topology in cluster.topologies)
    if name in ("bayesian", "bayesian-gp"):
        model: Kind = "linear" if name == "bayesian" else "gp"
        return BayesianSearch(topologies, seed=seed, evaluations=evaluations, kind=model, guess=guess)
    if name == "random":
        return RandomSearch(topologies, seed=seed, evaluations=evaluations)
    if name == "regularised-evolution":
        first = max(1, per_cluster * len(clusters))
        return RegularisedEvolution(topologies, seed=seed, evaluations=evaluations, population=first)
    if name in SEARCHERS:
        sampler = optuna_sampler(name.removeprefix("optuna-"))
        return OptunaSearch(topologies, sampler, seed=seed, evaluations=evaluations)
    made = call_factory(load_factory(name), clusters, seed=seed, evaluations=evaluations, name=name)
    return _CheckedSearcher(name, made, topologies)


def load_factory(name: str) -> Callable[..., Searcher]:
    """Import the class or function ``module:name``; modules of the working directory are found too.

    Raises:
        UserError: there is no such module, it fails while it is imported, or it does not have the name.
    """
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        imported = import_module(module)
    except Exception as error:  # whatever a user's module raises
        raise UserError(
            f"--sampler {name}: the module {module!r} can't be imported ({type(error).__name__}: {error}). Run the "
            "command in the folder that holds it, or install it."
        ) from error
    factory = getattr(imported, attribute, None)
    if not callable(factory):
        place = getattr(imported, "__file__", None) or module
        raise UserError(
            f"--sampler {name}: {place} has no class or function {attribute!r}. Define it there, or "
            "correct the name after the colon."
        )
    return factory


def call_factory(
    factory: Callable[..., Searcher], clusters: Sequence[TopologyCluster], *, seed: int, evaluations: int, name: str
) -> Searcher:
    """Call a user's class or function with those of these parameters that it has, by name.

    ``topologies`` (sorted) or ``clusters`` of them, ``seed`` and ``evaluations``: see :class:`AsynchronousSearcher`.

    Raises:
        UserError: it needs another parameter, or what it returns is no searcher.
    """
    topologies = sorted(topology for cluster in clusters for topology in cluster.topologies)
    offered = {"topologies": topologies, "clusters": clusters, "seed": seed, "evaluations": evaluations}
    signature = inspect.signature(factory)
    given = {parameter: value for parameter, value in offered.items() if parameter in signature.parameters}
    try:
        signature.bind(**given)
    except TypeError as error:
        raise UserError(
            f"--sampler {name}: it is called with {', '.join(offered)}, as far as it has them, but {error}. Give other "
            "parameters a default."
        ) from error
    made = factory(**given)
    missing = [member for member in MEMBERS if not hasattr(made, member)]
    if missing:
        raise UserError(
            f"--sampler {name}: what it gives ({type(made).__name__}) is without {', '.join(missing)}. Derive the "
            "class from c2fnas.search.AsynchronousSearcher, which has them."
        )
    return made


class _CheckedSearcher:
    """A user's searcher whose proposals are checked, so that a fault is one sentence, not a failure later."""

    def __init__(self, name: str, searcher: Searcher, topologies: Iterable[Topology]) -> None:
        self._name, self._searcher, self._history = name, searcher, History(topologies)

    @property
    def successes(self) -> int:
        return self._searcher.successes

    @property
    def best(self) -> tuple[Topology, float] | None:
        return self._searcher.best

    def ask(self) -> Proposal | None:
        try:
            proposal = self._searcher.ask()
            if proposal is None:
                return None
            if not isinstance(proposal, Proposal):
                raise ValueError(f"{proposal!r} is no Proposal")
            return replace(proposal, index=self._history.propose(proposal.topology))
        except ValueError as error:
            raise UserError(
                f"--sampler {self._name}: ask() is at fault: {error}. Return a c2fnas.search.Proposal of a topology "
                "that was given and not yet proposed, or None."
            ) from error

    def tell(self, topology: Topology, score: float | None) -> None:
        self._history.tell(topology, score)
        self._searcher.tell(topology, score)

    def note(self, topology: Topology, score: float) -> None:
        if isinstance(self._searcher, Noting):
            self._searcher.note(topology, score)

    def replay(self, events: Iterable[Asked | Told]) -> None:
        listed = list(events)
        self._history.replay(listed)
        self._searcher.replay(listed)
