"""Model-based search: Thompson sampling of the posterior over the scores of all topologies (not in the paper)."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from c2fnas.search.base import AsynchronousSearcher, Choice
from c2fnas.search.posterior import Kind, Posterior, ScoreModel
from c2fnas.search.searcher import checked_score
from c2fnas.space.topology import Topology


class TopologyModel:
    """A model of Dice by the codes of topologies."""

    def __init__(
        self, topologies: Sequence[Topology], kind: Kind = "linear", guess: Mapping[Topology, float] | None = None
    ) -> None:
        """Model the Dice of ``topologies``.

        Args:
            topologies: all of one length.
            kind: ``linear`` in the code, or ``gp`` for a Gaussian process with a linear part.
            guess: Dice of each from elsewhere, such as another data set, up to a constant.
        """
        self.topologies = tuple(topologies)
        self.places = {topology: place for place, topology in enumerate(self.topologies)}
        known = None if guess is None else np.array([guess[topology] for topology in self.topologies])
        self._model = ScoreModel(np.array([each.code for each in self.topologies], dtype=float), kind, known)

    def given(self, trainings: Iterable[tuple[Topology, float]]) -> Posterior:
        """Return the posterior given trainings with their Dice; a topology may be among them several times."""
        known = list(trainings)
        return self._model.posterior([self.places[topology] for topology, _ in known], [score for _, score in known])


class BayesianSearch(AsynchronousSearcher):
    """Scores of all topologies are drawn from the posterior, and the untrained one with the highest is proposed.

    Thompson sampling: what is likely to be best is tried often, what is unknown sometimes, and asynchronous workers
    keep apart without waiting for one another (Kandasamy et al., 2018). All scores inform on all topologies by their
    codes; see :class:`c2fnas.search.posterior.ScoreModel`. What codes do not tell, a topology's own part, is not drawn:
    for one that is not trained it is known to nobody. Scores of trainings that it has not proposed count too, once
    :meth:`note` has them.

    >>> from c2fnas.space.search_space import SearchSpace
    >>> search = BayesianSearch(SearchSpace().topologies(), seed=0, evaluations=16)
    >>> proposal = search.ask()
    >>> search.tell(proposal.topology, 0.5)
    """

    def __init__(
        self,
        topologies: Sequence[Topology],
        *,
        seed: int,
        evaluations: int = 50,
        kind: Kind = "linear",
        guess: Mapping[Topology, float] | None = None,
    ) -> None:
        """Search among ``topologies``; ``kind`` and ``guess`` are those of :class:`TopologyModel`."""
        super().__init__(topologies, seed=seed, evaluations=evaluations)
        self._model = TopologyModel(topologies, kind, guess)
        self._noted: list[tuple[Topology, float]] = []

    def note(self, topology: Topology, score: float) -> None:
        """Learn the score of a training that was not proposed here, such as one with another seed.

        Raises:
            ValueError: the score is not in [0, 1], or the topology is not among those that are searched.
        """
        if topology not in self._model.places:
            raise ValueError(f"the topology {topology.code} is not in the space that is searched")
        self._noted.append((topology, checked_score(score)))

    def share(self, model: TopologyModel) -> None:
        """Take the model of another search of the same topologies: its matrices are the same."""
        self._model = model

    def choose(self, rng: np.random.Generator) -> Choice:
        """Return the untrained topology with the highest of the scores drawn."""
        scores = self.history.scores
        (drawn,) = self._model.given([*scores.items(), *self._noted]).draws(rng, 1, own="known")
        noted = {topology for topology, _ in self._noted}
        untrained = [each for each in self.history.untrained if each not in noted] or list(self.history.untrained)
        best = int(np.argmax(drawn[[self._model.places[topology] for topology in untrained]]))
        return untrained[best], None, "best" if scores else "initial"
