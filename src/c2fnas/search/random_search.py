"""Random search: the baseline that every searcher has to beat."""

import numpy as np

from c2fnas.search.asynchronous import AsynchronousSearcher, Choice, pick


class RandomSearch(AsynchronousSearcher):
    """Untrained topologies, all equally likely.

    >>> from c2fnas.space.search_space import SearchSpace
    >>> search = RandomSearch(SearchSpace().topologies(), seed=0, evaluations=50)
    >>> proposal = search.ask()
    >>> search.tell(proposal.topology, 0.5)
    >>> search.best == (proposal.topology, 0.5)
    True
    """

    def _choose(self, rng: np.random.Generator) -> Choice:
        return pick(rng, list(self._history.untrained)), None, "random"
