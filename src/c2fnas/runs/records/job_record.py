"""Jobs as their folders tell: what they returned, how long they took and how their trainings went."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from c2fnas.evaluation.metrics import Evaluation
from c2fnas.execution.call import RESULT
from c2fnas.execution.worker import JOB_FILE
from c2fnas.files import changed_at, files_below, read_json, read_json_lines, refusing_damage
from c2fnas.runs.folder import EVALUATION
from c2fnas.runs.records.trained import Trained
from c2fnas.training.metrics_log import METRICS


@dataclass(frozen=True)
class Curve:
    """A training as its ``metrics.jsonl`` tells.

    Attributes:
        iterations: those at which the loss was noted.
        losses: of the training batch at each of them.
        seconds: that the training has taken, over all sessions.
        validated: iterations of a validation on whole volumes; empty where none was asked for.
        dice: mean Dice at each of them.
    """

    iterations: tuple[int, ...] = ()
    losses: tuple[float, ...] = ()
    seconds: float = 0.0
    validated: tuple[int, ...] = ()
    dice: tuple[float, ...] = ()

    @property
    def done(self) -> int:
        """Iterations noted so far."""
        return max(self.iterations, default=0)


@dataclass(frozen=True)
class JobRecord:
    """A job as its folder tells.

    Attributes:
        folder: of the job.
        value: what it returned; None before it has succeeded.
        failed: True if its last try failed, or what it has trained could not be scored.
        processes: that work on it together, each on a device; 1 before one session has ended.
        session: seconds of its last session; 0 before one has ended.
        curve: its training; an empty one before it has begun.
        ended: when its folder was last written, in seconds since the epoch; 0 before it has begun.
        hardware: the processor or GPU that did it; empty before one session has ended.
    """

    folder: Path
    value: dict[str, Any] | None
    failed: bool
    processes: int
    session: float
    curve: Curve
    ended: float
    hardware: str = ""

    @property
    def done(self) -> bool:
        """True if it has succeeded."""
        return self.value is not None

    @property
    def trained(self) -> Trained | None:
        """The value of a training that has ended; None of anything else."""
        return Trained.of(self.value)

    @property
    def training_seconds(self) -> float:
        """Device-seconds of the training alone."""
        return self.processes * self.curve.seconds

    @property
    def seconds(self) -> float:
        """Device-seconds of the last session or of the training, whichever took longer."""
        return self.processes * max(self.session, self.curve.seconds)

    @property
    def span(self) -> tuple[float, float]:
        """Start and end of this time on the clock, in seconds since the epoch."""
        return self.ended - max(self.session, self.curve.seconds), self.ended


def read_job(folder: Path) -> JobRecord:
    """Return the job in ``folder``, begun or not."""
    report = read_json(folder / RESULT) if (folder / RESULT).exists() else {}
    kind, files = report.get("kind"), [folder / METRICS, folder / RESULT]
    value = report["value"] if kind == "done" else None
    ended = Trained.of(value)
    unscored = ended is not None and ended.could_be_scored
    return JobRecord(
        folder=folder,
        value=value,
        failed=kind in ("failed", "out_of_memory", "killed") or unscored,
        processes=int(report.get("processes", 1)),
        session=float(report.get("seconds", 0.0)),
        curve=read_curve(folder),
        ended=max(map(changed_at, files)),
        hardware=report.get("hardware", ""),
    )


def read_jobs(root: Path) -> list[JobRecord]:
    """Return all jobs that have begun in folders under ``root``, in the order of the folders."""
    folders = {file.parent for file in files_below(root, JOB_FILE, RESULT, METRICS)}
    return [read_job(folder) for folder in sorted(folders)]


def read_payload(folder: Path) -> dict[str, Any]:
    """Return what the job in ``folder`` was asked for; an empty dict where that was not written down."""
    return read_json(folder / JOB_FILE)["payload"] if (folder / JOB_FILE).exists() else {}


def evaluation_in(folder: Path) -> Evaluation | None:
    """Return the evaluation that a training has left in its folder; None if its Dice is unknown."""
    path = folder / EVALUATION
    if not path.exists():
        return None
    with refusing_damage(path, "an evaluation", "Delete the result.json beside it: the same command makes it again."):
        return Evaluation.from_json(read_json(path))


def read_curve(folder: Path) -> Curve:
    """Return the training in a job's folder; an empty one where none has begun."""
    lines = [line for line in read_json_lines(folder / METRICS) if isinstance(line, dict) and "iteration" in line]
    noted = [line for line in lines if "loss" in line]
    checked = [line for line in lines if "validation" in line]
    return Curve(
        iterations=tuple(line["iteration"] for line in noted),
        losses=tuple(line["loss"] for line in noted),
        seconds=_seconds(lines),
        validated=tuple(line["iteration"] for line in checked),
        dice=tuple(line["validation"] for line in checked),
    )


def _seconds(lines: list[dict[str, Any]]) -> float:
    """Sum up stretches of iterations, each at the pace that was noted at its end."""
    paced = [line for line in lines if "seconds_per_iteration" in line]
    stretches = pairwise([{"iteration": 0}, *paced])
    return sum((now["iteration"] - before["iteration"]) * now["seconds_per_iteration"] for before, now in stretches)
