"""What all searchers share: the budget, the memory, and random numbers that depend on the proposal's index alone."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from c2fnas.search.history import History
from c2fnas.search.searcher import Asked, Branch, Proposal, Told
from c2fnas.space.topology import Topology

T = TypeVar("T")
Choice = tuple[Topology, int | None, Branch]


class AsynchronousSearcher(ABC):
    """A searcher that ends with ``evaluations`` successful networks; a subclass only says which topology is next.

    None is started past the budget: what is under way counts as if it succeeded, and is awaited. A failed candidate is
    replaced. The random numbers of proposal ``n`` come from ``(seed, n)``, so that a proposal depends on the seed, its
    index and what happened before, on nothing else.
    """

    def __init__(self, topologies: Sequence[Topology], *, seed: int, evaluations: int) -> None:
        """Search among ``topologies``.

        Raises:
            ValueError: a budget below 1, a negative seed, or no topology.
        """
        if evaluations < 1 or seed < 0 or not topologies:
            raise ValueError("a search needs at least one evaluation, a seed from 0 and at least one topology")
        self._seed, self._evaluations = seed, evaluations
        self._history = History(topologies)

    @property
    def successes(self) -> int:
        """Networks that were trained and scored."""
        return len(self._history.scores)

    @property
    def best(self) -> tuple[Topology, float] | None:
        """The highest score told, the first among equals."""
        return self._history.best

    def ask(self) -> Proposal | None:
        """The next topology; None while as many are under way as could still count, or when the space is exhausted."""
        history = self._history
        if self.successes + len(history.running) >= self._evaluations or not history.untrained:
            return None
        topology, cluster, branch = self._choose(np.random.default_rng((self._seed, len(history.proposed))))
        self._note_asked(topology)
        return Proposal(topology, len(history.proposed) - 1, cluster, branch)

    def tell(self, topology: Topology, score: float | None) -> None:
        """Report the score of a proposed topology; None where its training failed.

        Raises:
            ValueError: the score is not finite or not in [0, 1], or the topology is not under way.
        """
        self._note_told(topology, score)

    def replay(self, events: Iterable[Asked | Told]) -> None:
        """Relive a ledger in its order.

        Raises:
            ValueError: an event that can't have happened.
        """
        for event in events:
            if isinstance(event, Asked):
                self._note_asked(event.topology)
            else:
                self._note_told(event.topology, event.score)

    @abstractmethod
    def _choose(self, rng: np.random.Generator) -> Choice:
        """An untrained topology (there is one), its cluster, and how it came to be chosen."""

    def _note_asked(self, topology: Topology) -> None:
        self._history.propose(topology)

    def _note_told(self, topology: Topology, score: float | None) -> None:
        self._history.tell(topology, score)


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One of ``items``, all equally likely."""
    return items[int(rng.integers(len(items)))]
