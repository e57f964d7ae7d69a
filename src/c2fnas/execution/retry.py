"""Retries: which jobs are tried again, how often and with which change, by the same rules for every executor."""

from dataclasses import dataclass, replace
from typing import Any

from c2fnas.execution.job import Job

MICRO_BATCH_DIVISOR = "micro_batch_divisor"


@dataclass(frozen=True)
class Try:
    """One try at a job.

    Attributes:
        kills: how often its worker has been killed so far.
        divided: half the micro-batch (and the same effective batch), for lack of memory.
    """

    job: Job
    kills: int = 0
    divided: bool = False

    @property
    def payload(self) -> dict[str, Any]:
        """The job's payload, with ``micro_batch_divisor`` where the try is divided."""
        return {**self.job.payload, MICRO_BATCH_DIVISOR: 2} if self.divided else self.job.payload

    def retry(self, kind: str, retries: int) -> "Try | None":
        """Return the next try after this one ended as ``kind``; None if it was the last.

        A killed worker is started again up to ``retries`` times, a lack of memory is answered once.
        """
        if kind == "killed" and self.kills < retries:
            return replace(self, kills=self.kills + 1)
        if kind == "out_of_memory" and not self.divided:
            return replace(self, divided=True)
        return None
