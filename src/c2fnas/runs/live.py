"""The state of a running job: the last line of its metrics file, which jobs write and the driver reads."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from c2fnas.execution.job import Job
from c2fnas.files import append_json_line
from c2fnas.memory import used_memory
from c2fnas.runs.timing.progress import eta_text
from c2fnas.training.metrics_log import METRICS

TAIL_BYTES = 4096
TRAINING_SHARE = 0.9
"""The part of a job's bar that its training fills, where cases are evaluated after it."""
WHOLE = {"ranked": "cases", "timed": "candidates"}
"""Work that is a job of its own, and what it counts."""
SHOWN = {"loss": "loss", "validation": "Dice"}
"""The metrics of a training that are shown, and their names there."""


def progress_to(folder: Path, doing: str, device: str) -> Callable[[int, int], None]:
    """A callback ``(done, total)`` for work on cases, told in the job's metrics file under the name ``doing``."""

    def tell(done: int, total: int) -> None:
        line = {"doing": doing, "done": done, "total": total, "memory": used_memory(device)}
        append_json_line(folder / METRICS, line)

    return tell


def latest_metrics(folder: Path) -> dict[str, Any]:
    """The last whole line of ``metrics.jsonl`` in ``folder``; empty where there is none yet."""
    try:
        with (folder / METRICS).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            lines = file.read().decode("utf-8", errors="ignore").splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            metrics = json.loads(line)
        except ValueError:
            continue
        if isinstance(metrics, dict):
            return metrics
    return {}


def share_done(job: Job) -> float:
    """Return the share of a job that is done, between 0 and just under 1."""
    metrics = latest_metrics(job.folder)
    if metrics.get("doing") in WHOLE:
        return min(0.99, metrics["done"] / metrics["total"])
    if "doing" in metrics:
        return min(0.99, TRAINING_SHARE + (1 - TRAINING_SHARE) * metrics["done"] / metrics["total"])
    return TRAINING_SHARE * metrics.get("iteration", 0) / metrics.get("iterations", 1)


def note_on(job: Job) -> str:
    """A few words on a running job: where it stands, how long it has to train, its loss or Dice, and its memory."""
    return note_of(job.id, latest_metrics(job.folder))


def note_of(name: str, metrics: Mapping[str, Any]) -> str:
    """The same of a job by its name and its last metrics."""
    if "doing" in metrics:
        words = [f"{metrics['doing']} {metrics['done']}/{metrics['total']} {WHOLE.get(metrics['doing'], 'cases')}"]
    elif "iteration" in metrics:
        words = [f"{metrics['iteration']}/{metrics.get('iterations', '?')}", *_eta(metrics)]
    else:
        return f"{name} starts"
    words += [f"{name} {metrics[key]:.3f}" for key, name in SHOWN.items() if key in metrics]
    if "memory" in metrics:
        words.append(f"{metrics['memory'] / 1e9:.1f} GB")
    return f"{name}: {', '.join(words)}"


def _eta(metrics: Mapping[str, Any]) -> list[str]:
    """Return the time left of a training, without the evaluation that follows."""
    left = metrics.get("seconds_per_iteration", 0) * (metrics.get("iterations", 0) - metrics["iteration"])
    return [eta_text(left)] if left > 0 else []
