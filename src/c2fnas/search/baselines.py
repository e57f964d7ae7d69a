"""Searchers that know nothing of clusters: what Algorithm 1 has to beat."""

from collections.abc import Sequence

import numpy as np

from c2fnas.search.base import AsynchronousSearcher, Choice, nearest, pick
from c2fnas.space.topology import Topology


class RandomSearch(AsynchronousSearcher):
    """Untrained topologies, all equally likely.

    >>> from c2fnas.space.search_space import SearchSpace
    >>> search = RandomSearch(SearchSpace().topologies(), seed=0, evaluations=50)
    >>> proposal = search.ask()
    >>> search.tell(proposal.topology, 0.5)
    >>> search.best == (proposal.topology, 0.5)
    True
    """

    def choose(self, rng: np.random.Generator) -> Choice:
        """Return any untrained topology."""
        return pick(rng, self.history.untrained), None, "random"


class RegularisedEvolution(AsynchronousSearcher):
    """Regularised (aging) evolution (Real et al. 2019): the best of a sample of the youngest networks is mutated.

    First ``population`` random topologies. Then ``sample`` of the ``population`` last told successes are drawn, and an
    untrained neighbour (two adjacent moves swapped) of the best one is proposed; where there is none, the untrained
    topology nearest to it.
    """

    def __init__(
        self, topologies: Sequence[Topology], *, seed: int, evaluations: int = 50, population: int = 16, sample: int = 5
    ) -> None:
        """Search among ``topologies``.

        Raises:
            ValueError: ``population`` or ``sample`` below 1, or what every searcher refuses.
        """
        if population < 1 or sample < 1:
            raise ValueError("population and sample are at least 1")
        super().__init__(topologies, seed=seed, evaluations=evaluations)
        self._population, self._sample = population, sample

    def choose(self, rng: np.random.Generator) -> Choice:
        """Return a random topology for the first population, then a mutation of a good one."""
        history = self.history
        alive = len(history.running) + len(history.scores)
        if alive < self._population or not history.scores:
            return pick(rng, history.untrained), None, "initial"
        parent = self._parent(rng)
        neighbours = [neighbour for neighbour in parent.neighbours() if neighbour in history.untrained]
        return pick(rng, neighbours) if neighbours else nearest(history.untrained, parent.code), None, "best"

    def _parent(self, rng: np.random.Generator) -> Topology:
        youngest = list(self.history.scores.items())[-self._population :]
        drawn = rng.choice(len(youngest), size=min(self._sample, len(youngest)), replace=False)
        return max((youngest[place] for place in drawn), key=lambda item: item[1])[0]
