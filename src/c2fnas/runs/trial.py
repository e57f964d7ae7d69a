"""One candidate as the ledger knows it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from c2fnas.search.early_stopping import Standing
from c2fnas.space.architecture import Architecture

TrialState = Literal["running", "interrupted", "succeeded", "failed", "stopped"]


@dataclass(frozen=True)
class Trial:
    """A candidate architecture, how far it is and what came of it.

    Attributes:
        number: from 0, in order of start, without gaps.
        state: ``interrupted`` where the driver that started it is gone; it can be restarted. ``stopped`` where it was
            not among the best at a rung.
        score: mean whole-volume Dice in [0, 1] of a success, else None.
        reason: why it failed, else None.
        after: how many trials of the study had ended when this one was proposed. With ``order`` it tells exactly what
            the searcher knew then, so that a replay gives the same proposals.
        order: how many had ended before this one did, or None while it hasn't.
        started: when its first driver started it (UTC).
        ended: when it succeeded, failed or was stopped (UTC), or None.
        rungs: where it stood on its way, in order; empty without early stopping.
        extra: what the stage keeps with it: cost, cluster, branch, device, seconds, ...
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
    rungs: tuple[Standing, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether it succeeded, failed or was stopped, for good."""
        return self.order is not None

    @property
    def evidence(self) -> float | None:
        """What a searcher learns of it: its score, or the Dice at which it was stopped; None after a failure."""
        return self.rungs[-1].score if self.state == "stopped" else self.score

    @property
    def seconds(self) -> float | None:
        """How long it took: ``extra["seconds"]`` where the stage has told, else from start to end."""
        if "seconds" in self.extra:
            return float(self.extra["seconds"])
        return (self.ended - self.started).total_seconds() if self.ended else None

    @property
    def device(self) -> str | None:
        """The device it ran on, where the stage has told."""
        return self.extra.get("device")
