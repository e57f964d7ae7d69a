"""What is tried again, how often, and with which change: the same rules for every executor."""

from dataclasses import dataclass, replace
from typing import Any

from c2fnas.execution.job import Job

MICRO_BATCH_DIVISOR = "micro_batch_divisor"


@dataclass(frozen=True)
class Attempt:
    """One try at a job.

    Attributes:
        kills: how often its worker has been killed so far.
        divided: whether it runs with half the micro-batch (and the same effective batch) for lack of memory.
    """

    job: Job
    kills: int = 0
    divided: bool = False

    @property
    def payload(self) -> dict[str, Any]:
        """The job's payload; a divided attempt's says so under ``micro_batch_divisor``."""
        return {**self.job.payload, MICRO_BATCH_DIVISOR: 2} if self.divided else self.job.payload

    def following(self, kind: str, retries: int) -> "Attempt | None":
        """The attempt after one that ended as ``kind``; None where that was the last.

        A killed worker is called again up to ``retries`` times, a lack of memory is answered once.
        """
        if kind == "killed" and self.kills < retries:
            return replace(self, kills=self.kills + 1)
        if kind == "out_of_memory" and not self.divided:
            return replace(self, divided=True)
        return None
