"""Random search: the least that every other searcher has to beat."""

import numpy as np

from c2fnas.search.base import AsynchronousSearcher, Choice, pick


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
