"""Jobs and their outcomes: values that cross process and machine borders as JSON."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["done", "failed", "out_of_memory", "killed"]


@dataclass(frozen=True)
class Job:
    """A call ``target(payload, folder, device) -> dict`` to be made somewhere.

    Attributes:
        id: unique among the jobs that run at the same time.
        target: ``"module:function"``; anything importable.
        payload: JSON in; the target's dict is JSON out.
        folder: where the target keeps its files. A killed job is called again with the same folder, so a target
            resumes from what it finds there. A folder that holds the result of the same job answers at once.
    """

    id: str
    target: str
    payload: dict[str, Any]
    folder: Path

    def digest(self) -> str:
        """Return the name of this very call: equal for equal id, target and payload, wherever the folder lies."""
        call = json.dumps([self.id, self.target, self.payload], sort_keys=True)
        return hashlib.sha256(call.encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """The end of a job. A failure is a value: it costs one candidate, never the search.

    Attributes:
        value: the target's dict, or None after a failure.
        failure: one readable paragraph that names the folder with traceback and log, or None.
        seconds: from submission to end, retries included.
        device: the device it ran on, as it was given to the executor.
    """

    job_id: str
    value: dict[str, Any] | None
    failure: str | None
    kind: Kind
    seconds: float
    device: str

    @property
    def succeeded(self) -> bool:
        """True if there is a value."""
        return self.kind == "done"
