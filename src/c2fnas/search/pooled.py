"""A search that pools what it has seen: a pilot, the searcher, an early end, trainings that settle the answer.

Not in the paper. What is trained next follows from what was trained, so that a run that was cut goes on as it would
have, and a replay on a table is the search of a run.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from c2fnas.search.answer import DOUBT, Standing, settling_training, standing
from c2fnas.search.bayesian import TopologyModel
from c2fnas.search.searcher import Proposal, Searcher
from c2fnas.space.topology import Topology

AGAIN, WANTED = "again", "wanted"
"""Origins of trainings that no searcher has proposed: of a topology with another seed, and of what the model wants."""
PILOT_REPEATS = 2
"""Topologies of the pilot that are trained twice: without them nothing tells seeds from topologies."""


@dataclass(frozen=True)
class Training:
    """A training of a search.

    Attributes:
        proposed: false for one :data:`AGAIN` or :data:`WANTED`.
        state: ``stopped`` is one that early stopping has ended.
        score: its Dice, where it succeeded.
    """

    topology: Topology
    proposed: bool
    state: Literal["running", "succeeded", "stopped", "failed"]
    score: float | None = None

    @property
    def counts(self) -> bool:
        """False for a failure that is replaced.

        One that settles the answer and fails is not replaced, or where they always fail they would never end.
        """
        return self.state != "failed" or not self.proposed


@dataclass(frozen=True)
class Size:
    """The size of a search.

    Attributes:
        evaluations: trainings in all.
        pilot: trainings after which the search may end early; :data:`PILOT_REPEATS` of them are repeats.
        share: of the trainings, kept for those that settle the answer.

    >>> Size(16).searched, Size(8).searched, Size(4).searched
    (12, 5, 3)
    """

    evaluations: int
    pilot: int = 8
    share: float = 0.25

    @property
    def has_pilot(self) -> bool:
        """True if there are enough trainings for a pilot."""
        return self.evaluations >= self.pilot

    @property
    def searched(self) -> int:
        """Trainings that the searcher proposes before the answer is settled; one is kept for what the model wants."""
        kept = round(self.share * self.evaluations)
        return max(1, self.evaluations - (max(kept, PILOT_REPEATS + 1) if self.has_pilot else kept))


class PooledSearch:
    """Decides what a search trains next, and what its answer is, by all that it has trained."""

    def __init__(
        self,
        searcher: Searcher,
        model: TopologyModel,
        costs: Mapping[Topology, float],
        size: Size,
        *,
        margin: float,
        seed: int,
    ) -> None:
        """Search with ``searcher``, which proposes up to ``size.evaluations``.

        Args:
            searcher: proposes, and is told by the caller.
            model: of the topologies that are searched.
            costs: of each; of those within the margin the cheapest is the answer.
            size: of the search.
            margin: differences in Dice within it do not matter.
            seed: of the draws from the posterior.
        """
        self._searcher, self._model, self._costs, self._size = searcher, model, costs, size
        self._margin, self._seed = margin, seed
        self._known: tuple[int, Standing] | None = None

    def next(self, trainings: Sequence[Training]) -> Proposal | Topology | None:
        """Return what is trained next: a proposal, or a topology that settles the answer; None for nothing now.

        Args:
            trainings: of the search: those that have ended in order of their ends, and then those under way.
        """
        counted = Counter(each.topology for each in trainings if each.counts)
        if counted.total() >= self._size.evaluations:
            return None
        proposed = sum(each.proposed and each.counts for each in trainings)
        again = self._pilot_repeat(trainings, counted, proposed)
        if again is not None:
            return again
        ends = self.nothing_left(trainings)
        if proposed < self._size.searched and not ends and (proposal := self._searcher.ask()) is not None:
            return proposal
        if not any(each.state == "succeeded" for each in trainings):
            return None
        whole = Counter(each.topology for each in trainings if each.counts and each.state != "stopped")
        settling = settling_training(self.standing(trainings), whole)
        return self._searcher.ask() if settling is None and not ends else settling

    def nothing_left(self, trainings: Sequence[Training]) -> bool:
        """True if, after the pilot, nothing above the margin is left to win."""
        ended = sum(each.state in ("succeeded", "stopped") for each in trainings)
        return ended >= self._size.pilot and self.standing(trainings).left <= DOUBT

    def standing(self, trainings: Sequence[Training]) -> Standing:
        """Return what the trainings that have ended say."""
        ended = sum(each.state != "running" for each in trainings)
        if self._known is None or self._known[0] != ended:
            scored = [(each.topology, each.score) for each in trainings if each.score is not None]
            failed = {each.topology for each in trainings if each.state == "failed"}
            found = standing(
                self._model,
                scored,
                self._costs,
                margin=self._margin,
                seed=self._seed,
                failed=failed - {topology for topology, _ in scored},
            )
            self._known = ended, found
        return self._known[1]

    def _pilot_repeat(
        self, trainings: Sequence[Training], counted: Counter[Topology], proposed: int
    ) -> Topology | None:
        """The topology that the pilot trains again now, or None."""
        size, repeats = self._size, counted.total() - len(counted)
        enough = size.has_pilot and proposed >= min(size.pilot - PILOT_REPEATS, size.searched)
        if not enough or repeats >= PILOT_REPEATS:
            return None
        ended = (each.topology for each in trainings if each.state in ("succeeded", "stopped"))
        return next((topology for topology in ended if counted[topology] == 1), None)
