"""The interface of a searcher of topologies: ask for a candidate, tell its score. The caller owns the loop."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from c2fnas.space.topology import Topology

Branch = Literal["initial", "best", "random"]


@dataclass(frozen=True)
class Proposal:
    """A topology to train next, and where it came from.

    Attributes:
        index: counts the proposals of a search from 0.
        cluster: the cluster it was drawn from, or None where the searcher knows none.
        branch: "initial" for one of the first of a search, "best" for one that good scores led to, "random" for one
            drawn from all that are left.
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
        """Number of candidates that were told with a score."""

    @property
    def best(self) -> tuple[Topology, float] | None:
        """The highest score told and its topology, the first among equals; None before any."""

    def ask(self) -> Proposal | None:
        """Return the next topology, never one proposed before; None if none is to be started now.

        If nothing is under way, None ends the search. Else ask again after the next result, since a failed candidate is
        replaced.
        """

    def tell(self, topology: Topology, score: float | None) -> None:
        """Report the score, in [0, 1], of a proposed topology; None where its training failed.

        Raises:
            ValueError: the score is not finite or not in [0, 1], or the topology is not under way.
        """

    def replay(self, events: Iterable[Asked | Told]) -> None:
        """Repeat the events of a ledger; the next proposal is then the one that an uninterrupted search would make.

        Raises:
            ValueError: an event that can't have happened, such as a topology proposed twice or not of the space.
        """


@runtime_checkable
class Noting(Protocol):
    """A searcher that learns also of trainings that it has not proposed."""

    def note(self, topology: Topology, score: float) -> None:
        """Learn the score of such a training; it may be of a topology under way, and come several times."""


def checked_score(score: float) -> float:
    """Return ``score``, or raise ValueError unless it is in [0, 1]: NaN would win a sort, infinity any comparison."""
    if not math.isfinite(score) or not 0 <= score <= 1:
        raise ValueError(f"a score is a finite number from 0 to 1, not {score}")
    return float(score)
