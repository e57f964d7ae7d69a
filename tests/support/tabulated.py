"""Trainings of a table that are made up."""

from c2fnas.execution import InlineExecutor
from c2fnas.execution.job import Job, Outcome


class Answers(InlineExecutor):
    """Answers with a made-up Dice; a seed of 2 fails. Remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def wait(self, timeout: float | None = None) -> Outcome | None:
        job, self._job = self._job, None
        assert job is not None
        self.asked.append(job.id)
        return Outcome(job.id, _value(job), None if _value(job) else "failed", "done", 3.0, "cpu")


def _value(job: Job) -> dict | None:
    if job.payload["seed"] == 2:
        return None
    return {"dice": 0.5, "rungs": {"1": 0.1, "2": 0.2}, "per_class": {"organ": 0.5, "vessel": None}, "seconds": 2.5}
