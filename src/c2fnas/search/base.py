"""The common part of all searchers: the budget, the memory, and random numbers of the proposal's index alone."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from c2fnas.search.searcher import Asked, Branch, Proposal, Told, checked_score
from c2fnas.space.topology import Topology

T = TypeVar("T")
Choice = tuple[Topology, int | None, Branch]


class History:
    """The candidates of one search among ``topologies``. Each is proposed at most once.

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
            ValueError: the topology is not under way, or the score is not in [0, 1]; nothing is noted then.
        """
        if topology not in self.running:
            raise ValueError(f"the topology {topology.code} is not under way")
        checked = None if score is None else checked_score(score)
        del self.running[topology]
        if checked is not None:
            self.scores[topology] = checked

    def replay(self, events: Iterable[Asked | Told]) -> None:
        """Note the events of a ledger; see :meth:`propose` and :meth:`tell`."""
        for event in events:
            if isinstance(event, Asked):
                self.propose(event.topology)
            else:
                self.tell(event.topology, event.score)


class AsynchronousSearcher(ABC):
    """A searcher that ends with ``evaluations`` successful networks. A subclass chooses the next topology.

    Candidates under way count as if they succeeded, so that none is started past the budget. A failed candidate is
    replaced. The random numbers of proposal ``n`` come from ``(seed, n)``. So a proposal depends on the seed, its index
    and what happened before, and a replay repeats it.
    """

    def __init__(self, topologies: Sequence[Topology], *, seed: int, evaluations: int) -> None:
        """Search among ``topologies``.

        Raises:
            ValueError: a budget below 1, a negative seed, or no topology.
        """
        if evaluations < 1 or seed < 0 or not topologies:
            raise ValueError("a search needs at least one evaluation, a seed from 0 and at least one topology")
        self._seed, self._evaluations = seed, evaluations
        self.history = History(topologies)

    @property
    def successes(self) -> int:
        """Networks that were trained and scored."""
        return len(self.history.scores)

    @property
    def best(self) -> tuple[Topology, float] | None:
        """The highest score told and its topology, the first among equals; None before any."""
        return max(self.history.scores.items(), key=lambda item: item[1], default=None)

    def ask(self) -> Proposal | None:
        """Return the next topology; None while those under way may fill the budget, or when the space is exhausted."""
        history = self.history
        if self.successes + len(history.running) >= self._evaluations or not history.untrained:
            return None
        topology, cluster, branch = self.choose(np.random.default_rng((self._seed, len(history.proposed))))
        return Proposal(topology, history.propose(topology), cluster, branch)

    def tell(self, topology: Topology, score: float | None) -> None:
        """Report the score of a proposed topology; None where its training failed.

        Raises:
            ValueError: the score is not finite or not in [0, 1], or the topology is not under way.
        """
        self.history.tell(topology, score)

    def replay(self, events: Iterable[Asked | Told]) -> None:
        """Repeat the events of a ledger in their order.

        Raises:
            ValueError: an event that can't have happened.
        """
        self.history.replay(events)

    @abstractmethod
    def choose(self, rng: np.random.Generator) -> Choice:
        """Return a topology of ``self.history.untrained`` (there is one), its cluster or None, and its branch."""


def pick(rng: np.random.Generator, items: Iterable[T]) -> T:
    """Return one of ``items``, all equally likely."""
    listed = list(items)
    return listed[int(rng.integers(len(listed)))]


def nearest(candidates: Iterable[Topology], code: Sequence[float]) -> Topology:
    """Return the candidate whose code is closest to ``code`` (paper 3.3: Euclidean), the first by code among equals."""
    listed = list(candidates)
    distances = ((np.array([topology.code for topology in listed]) - np.asarray(code)) ** 2).sum(axis=1)
    closest = np.flatnonzero(distances == distances.min())
    return min((listed[place] for place in closest), key=lambda topology: topology.code)
