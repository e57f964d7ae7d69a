"""A candidate of the ledger."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from c2fnas.search.successive_halving import RungResult
from c2fnas.space.architecture import Architecture

TrialState = Literal["running", "interrupted", "succeeded", "failed", "stopped"]


@dataclass(frozen=True)
class Trial:
    """A candidate architecture, its state and its result.

    Attributes:
        number: from 0, in order of start, without gaps.
        state: ``interrupted`` where the driver that started it is gone; it can be restarted. ``stopped`` where it was
            not promoted at a rung.
        score: mean whole-volume Dice in [0, 1] of a success, else None.
        reason: why it failed, else None.
        after: how many trials of the study had ended when this one was proposed. With ``order`` it says exactly what
            the searcher knew then, so that a replay gives the same proposals.
        order: how many had ended before this one did, or None while it hasn't.
        started: when its first driver started it (UTC).
        ended: when it succeeded, failed or was stopped (UTC), or None.
        rungs: its results at the rungs of its training, in order; empty without early stopping.
        extra: other values that the stage keeps with it: cost, cluster, branch, device, seconds, ...
    """

    number: int
    architecture: Architecture
    state: TrialState
    score: float | None
    reason: str | None
    after: int
    order: int | None
    started: datetime
    ended: datetime | None
    rungs: tuple[RungResult, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """True if it succeeded, failed or was stopped, for good."""
        return self.order is not None

    @property
    def evidence(self) -> float | None:
        """The score for a searcher: its own, or the Dice at which it was stopped; None after a failure."""
        return self.rungs[-1].score if self.state == "stopped" else self.score

    @property
    def seconds(self) -> float | None:
        """Its duration: ``extra["seconds"]`` if the stage keeps it, else from start to end."""
        if "seconds" in self.extra:
            return float(self.extra["seconds"])
        return (self.ended - self.started).total_seconds() if self.ended else None

    @property
    def device(self) -> str | None:
        """The device it ran on, if the stage keeps it."""
        return self.extra.get("device")
