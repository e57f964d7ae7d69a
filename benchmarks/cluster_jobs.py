"""Jobs of `cluster_scale.py`: candidates that sleep, fail, are slow or are killed, as their number says; no torch."""

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

KEPT_EVERY = 1.0
"""Seconds of sleep between checkpoints."""


def fate(number: int) -> str:
    """Return the fate of a candidate: of a hundred, five fail, five are stragglers, and ten are preempted once."""
    share = random.Random(number).random()
    return next((name for name, to in FATES if share < to), "well")


FATES = (("failed", 0.05), ("straggler", 0.10), ("preempted", 0.20))
SLOWER = 5
"""A straggler takes so many times longer."""


def sleep(payload: dict[str, Any], folder: Path, device: str) -> dict[str, Any]:
    """Sleep in steps, each kept as a checkpoint is, and give a Dice by the topology; a target."""
    kept, number = folder / "slept", payload["number"]
    began = fate(number) if not (folder / "called").exists() else "well"
    slow = SLOWER if fate(number) == "straggler" else 1
    (folder / "called").touch()
    if fate(number) == "failed":
        time.sleep(payload["seconds"] / 2)
        raise RuntimeError("the loss is not finite")
    done = float(kept.read_text()) if kept.exists() else 0.0
    while done < payload["seconds"] * slow:
        time.sleep(KEPT_EVERY)
        done += KEPT_EVERY
        kept.write_text(str(done))
        if began == "preempted" and done >= payload["seconds"] / 2:
            os.kill(os.getpid(), signal.SIGKILL)
    dice = 0.5 + sum(payload["code"]) / 100
    return {"dice": dice, "per_class": {"organ": dice}}
