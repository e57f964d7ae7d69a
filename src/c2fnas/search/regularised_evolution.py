"""Regularised (aging) evolution: Real et al., Regularized Evolution for Image Classifier Architecture Search (2019)."""

from collections.abc import Sequence

import numpy as np

from c2fnas.search.asynchronous import AsynchronousSearcher, Choice, pick
from c2fnas.search.history import nearest
from c2fnas.space.topology import Topology


class RegularisedEvolution(AsynchronousSearcher):
    """A baseline without clusters: the best of a random sample of the youngest networks is mutated.

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

    def _choose(self, rng: np.random.Generator) -> Choice:
        history = self._history
        alive = len(history.running) + len(history.scores)
        if alive < self._population or not history.scores:
            return pick(rng, list(history.untrained)), None, "initial"
        return self._mutated(self._parent(rng), rng), None, "best"

    def _parent(self, rng: np.random.Generator) -> Topology:
        youngest = list(self._history.scores.items())[-self._population :]
        drawn = rng.choice(len(youngest), size=min(self._sample, len(youngest)), replace=False)
        return max((youngest[place] for place in drawn), key=lambda item: item[1])[0]

    def _mutated(self, parent: Topology, rng: np.random.Generator) -> Topology:
        untrained = self._history.untrained
        neighbours = [neighbour for neighbour in parent.neighbours() if neighbour in untrained]
        return pick(rng, neighbours) if neighbours else nearest(untrained, parent.code)
