"""What a running job is doing, read from the last line of its metrics file."""

import json
import os
from pathlib import Path
from typing import Any

from c2fnas.execution.job import Job

TAIL_BYTES = 4096


def latest_metrics(folder: Path) -> dict[str, Any]:
    """The last whole line of ``metrics.jsonl`` in ``folder``; empty where there is none yet."""
    try:
        with (folder / "metrics.jsonl").open("rb") as file:
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
    """How much of a job is done, between 0 and just under 1."""
    metrics = latest_metrics(job.folder)
    total = metrics.get("iterations", 0)
    return min(0.99, metrics.get("iteration", 0) / total) if total else 0.0


def note_on(job: Job) -> str:
    """A few words on a running job: where it stands and its loss."""
    metrics = latest_metrics(job.folder)
    if "iteration" not in metrics:
        return f"{job.id} starts"
    loss = f" loss {metrics['loss']:.3f}" if "loss" in metrics else ""
    return f"{job.id} {metrics['iteration']}/{metrics.get('iterations', '?')}{loss}"
