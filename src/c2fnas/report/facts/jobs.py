"""What the jobs of a run have left in their folders: how long they took and how their training went."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from c2fnas.execution.call import RESULT
from c2fnas.execution.worker import JOB_FILE
from c2fnas.files import read_json, read_json_lines
from c2fnas.training.metrics_log import METRICS


@dataclass(frozen=True)
class Curve:
    """A training as ``metrics.jsonl`` tells it.

    Attributes:
        planned: iterations there will be; 0 where none is known yet.
        iterations: those at which the loss was noted.
        losses: of the training batch at each of them.
        seconds: that the training has taken, over all sessions.
        validated: iterations of a validation on whole volumes; empty where none was asked for.
        dice: mean Dice of each of them.
    """

    planned: int
    iterations: tuple[int, ...]
    losses: tuple[float, ...]
    seconds: float
    validated: tuple[int, ...] = ()
    dice: tuple[float, ...] = ()

    @property
    def done(self) -> int:
        """Iterations that were noted so far."""
        return max(self.iterations, default=0)


def read_curve(folder: Path) -> Curve:
    """The training in a job's folder; an empty one where none has begun."""
    lines = [line for line in read_json_lines(folder / METRICS) if isinstance(line, dict) and "iteration" in line]
    noted = [line for line in lines if "loss" in line]
    checked = [line for line in lines if "validation" in line]
    return Curve(
        planned=max((line["iterations"] for line in lines), default=0),
        iterations=tuple(line["iteration"] for line in noted),
        losses=tuple(line["loss"] for line in noted),
        seconds=_seconds(lines),
        validated=tuple(line["iteration"] for line in checked),
        dice=tuple(line["validation"] for line in checked),
    )


def _seconds(lines: list[dict[str, Any]]) -> float:
    """Each stretch of iterations at the pace that was noted at its end."""
    paced = [line for line in lines if "seconds_per_iteration" in line]
    stretches = pairwise([{"iteration": 0}, *paced])
    return sum((now["iteration"] - before["iteration"]) * now["seconds_per_iteration"] for before, now in stretches)


def result_of(folder: Path) -> dict[str, Any] | None:
    """What the job in ``folder`` has returned; None where it has not succeeded."""
    report = _report(folder)
    return report["value"] if report.get("kind") == "done" else None


def processes_of(folder: Path) -> int:
    """How many processes do the job in ``folder`` together, each on a device; 1 before one session of it has ended."""
    return int(_report(folder).get("processes", 1))


def payload_of(folder: Path) -> dict[str, Any]:
    """What the job in ``folder`` was asked for; empty where that was not written down."""
    return read_json(folder / JOB_FILE)["payload"] if (folder / JOB_FILE).exists() else {}


def job_folders(root: Path) -> list[Path]:
    """The folders under ``root`` in which a job has begun, in order."""
    names = (JOB_FILE, RESULT, METRICS)
    return sorted({file.parent for name in names for file in root.rglob(name)})


def job_seconds(folder: Path) -> float:
    """Device-seconds of a job: of its last session as it said itself, or of its training, whichever is more."""
    return processes_of(folder) * max(float(_report(folder).get("seconds", 0.0)), read_curve(folder).seconds)


def training_seconds(folder: Path) -> float:
    """Device-seconds of a job's training, without what came before and after."""
    return processes_of(folder) * read_curve(folder).seconds


def seconds_under(root: Path) -> float:
    """Device-seconds of all jobs under ``root``, failed and unfinished ones included."""
    return sum(map(job_seconds, job_folders(root)))


def _report(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = read_json(folder / RESULT) if (folder / RESULT).exists() else {}
    return report
