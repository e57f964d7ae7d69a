"""What every searcher of topologies does: ask for a candidate, tell how it scored. The loop belongs to the caller."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from c2fnas.space.topology import Topology

Branch = Literal["initial", "best", "random"]


@dataclass(frozen=True)
class Proposal:
    """A topology to train next, and how it came to be proposed.

    Attributes:
        index: counts the proposals of a search from 0.
        cluster: the cluster it was drawn from, or None where the searcher knows none.
        branch: one of the first of a search, one that good scores led to, or a random one.
    """

    topology: Topology
    index: int
    cluster: int | None = None
    branch: Branch = "random"


@dataclass(frozen=True)
class Asked:
    """An event of a ledger: a topology was proposed."""

    topology: Topology


@dataclass(frozen=True)
class Told:
    """An event of a ledger: a topology was scored; None: its training failed."""

    topology: Topology
    score: float | None


@runtime_checkable
class Searcher(Protocol):
    """Asynchronous search: a proposal follows from seed, index and what happened before, so a replay repeats it."""

    @property
    def successes(self) -> int:
        """Candidates that were told with a score."""

    @property
    def best(self) -> tuple[Topology, float] | None:
        """The highest score told, the first among equals."""

    def ask(self) -> Proposal | None:
        """The next topology, never one proposed before; None where none is to be started now or ever.

        None is for ever where nothing is under way; else ask again after the next result, since a failed candidate is
        replaced.
        """

    def tell(self, topology: Topology, score: float | None) -> None:
        """Report the score, in [0, 1], of a proposed topology; None where its training failed.

        Raises:
            ValueError: the score is not finite or not in [0, 1], or the topology is not under way.
        """

    def replay(self, events: Iterable[Asked | Told]) -> None:
        """Relive a ledger in its order: the next proposal is then the one that an uninterrupted search would make.

        Raises:
            ValueError: an event that can't have happened, such as a topology proposed twice or not of the space.
        """


def checked_score(score: float) -> float:
    """``score``, refused where it is no Dice: NaN would win a sort, infinity any comparison."""
    if not math.isfinite(score) or not 0 <= score <= 1:
        raise ValueError(f"a score is a finite number from 0 to 1, not {score}")
    return float(score)
