"""The memory of a search: what was proposed, what is under way, what it scored."""

from collections.abc import Iterable, Sequence

import numpy as np

from c2fnas.search.searcher import checked_score
from c2fnas.space.topology import Topology


class History:
    """The candidates of one search among ``topologies``, each of which is proposed at most once.

    Attributes:
        proposed: in order of proposal.
        running: proposed and neither scored nor failed, in order of proposal.
        scores: of the successes, in the order in which they were told.
        untrained: not yet proposed, in the order given.
    """

    def __init__(self, topologies: Iterable[Topology]) -> None:
        self.proposed: dict[Topology, None] = {}
        self.running: dict[Topology, None] = {}
        self.scores: dict[Topology, float] = {}
        self.untrained: dict[Topology, None] = dict.fromkeys(topologies)

    @property
    def best(self) -> tuple[Topology, float] | None:
        """The highest score, the first told among equals."""
        return max(self.scores.items(), key=lambda item: item[1], default=None)

    def propose(self, topology: Topology) -> int:
        """Note a proposal and return its index.

        Raises:
            ValueError: it was proposed before, or is not in the space.
        """
        if topology not in self.untrained:
            fault = "was proposed before" if topology in self.proposed else "is not in the space that is searched"
            raise ValueError(f"the topology {topology.code} {fault}")
        del self.untrained[topology]
        self.proposed[topology] = self.running[topology] = None
        return len(self.proposed) - 1

    def tell(self, topology: Topology, score: float | None) -> None:
        """Note a score, or a failure.

        Raises:
            ValueError: the topology is not under way, or the score is none; nothing is noted then.
        """
        if topology not in self.running:
            raise ValueError(f"the topology {topology.code} is not under way")
        checked = None if score is None else checked_score(score)
        del self.running[topology]
        if checked is not None:
            self.scores[topology] = checked


def nearest(candidates: Iterable[Topology], code: Sequence[float]) -> Topology:
    """The candidate whose code is closest to ``code`` (paper 3.3: Euclidean), the first by code among equals."""
    listed = list(candidates)
    distances = ((np.array([topology.code for topology in listed]) - np.asarray(code)) ** 2).sum(axis=1)
    closest = np.flatnonzero(distances == distances.min())
    return min((listed[place] for place in closest), key=lambda topology: topology.code)
