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
from c2fnas.search.searcher import Noting, Proposal, Searcher
from c2fnas.space.topology import Topology

AGAIN, WANTED = "again", "wanted"
"""Origins of trainings that no searcher has proposed: of a topology with another seed, and of what the model wants."""
PILOT, PILOT_REPEATS = 8, 2
"""Trainings of a pilot, and the topologies in it that are trained twice: nothing else tells seeds from topologies."""
SHARE = 0.25
"""The share of the trainings that is kept for those that settle the answer."""


@dataclass(frozen=True)
class Training:
    """A training of a search.

    Attributes:
        proposed: false for one :data:`AGAIN` or :data:`WANTED`.
        state: ``stopped`` is one that early stopping has ended.
        score: its Dice where it succeeded; of one that was stopped, what the searcher is told.
    """

    topology: Topology
    proposed: bool
    state: Literal["running", "succeeded", "stopped", "failed"]
    score: float | None = None

    @property
    def whole(self) -> bool:
        """True if it was trained to its end."""
        return self.state == "succeeded"

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
    pilot: int = PILOT
    share: float = SHARE

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
        counted = [each for each in trainings if each.counts]
        if len(counted) >= self._size.evaluations:
            return None
        proposed = sum(each.proposed for each in counted)
        repeat = self._pilot_repeat(counted)
        if repeat is not None and proposed >= min(self._size.pilot - PILOT_REPEATS, self._size.searched):
            return repeat
        ends = self.nothing_left(trainings)
        if proposed < self._size.searched and not ends:
            proposal = self._searcher.ask()
            if proposal is not None or any(each.proposed and each.state == "running" for each in counted):
                return proposal  # a searcher without one may wait for what is under way
            if repeat is not None:
                return repeat  # it has no more: the space is smaller than the pilot
        if not any(each.whole for each in trainings):
            return None
        found = self.standing(trainings)
        if ends and found.settled:
            return None
        settling = settling_training(found, Counter(each.topology for each in counted if each.state != "stopped"))
        return self._searcher.ask() if settling is None and not ends else settling

    def tell(self, training: Training) -> None:
        """Tell the searcher of a training that has ended, or let it note one that it has not proposed, if it can."""
        if training.proposed:
            self._searcher.tell(training.topology, training.score)
        elif training.score is not None and isinstance(self._searcher, Noting):
            self._searcher.note(training.topology, training.score)

    def nothing_left(self, trainings: Sequence[Training]) -> bool:
        """True if, after the pilot, nothing above the margin is left to win."""
        succeeded = sum(each.whole for each in trainings)
        return succeeded >= self._size.pilot and self.standing(trainings).left <= DOUBT

    def standing(self, trainings: Sequence[Training]) -> Standing:
        """Return what the trainings that have ended say."""
        ended = sum(each.state != "running" for each in trainings)
        if self._known is None or self._known[0] != ended:
            scored = [(each.topology, each.score) for each in trainings if each.whole and each.score is not None]
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

    def _pilot_repeat(self, counted: Sequence[Training]) -> Topology | None:
        """The topology that the pilot trains again; None without a pilot, or where it has its repeats."""
        whole = Counter(each.topology for each in counted if each.state != "stopped")
        if not self._size.has_pilot or whole.total() - len(whole) >= PILOT_REPEATS:
            return None
        ended = (each.topology for each in counted if each.whole)
        return next((topology for topology in ended if whole[topology] == 1), None)
