"""Questions to the machine at hand, answered by a job on a worker: the driver touches no accelerator."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from c2fnas.execution import Job, LocalProcessExecutor, Outcome


def run_once(name: str, target: str, payload: dict[str, Any], devices: Sequence[str]) -> dict[str, Any]:
    """Return the value of a job that a worker does on the first of ``devices``.

    Raises:
        MemoryError: the device has not enough memory.
        RuntimeError: the job failed.
    """
    return _values(name, target, payload, devices, 1)[0]


def run_on_each(name: str, target: str, payload: dict[str, Any], devices: Sequence[str]) -> list[dict[str, Any]]:
    """Return the values, in any order, of a job that a worker on each of ``devices`` does, at the same time.

    Raises:
        MemoryError: a device has not enough memory.
        RuntimeError: the job failed on one of them.
    """
    return _values(name, target, payload, devices, len(devices))


def _values(
    name: str, target: str, payload: dict[str, Any], devices: Sequence[str], count: int
) -> list[dict[str, Any]]:
    """The values of a job that is done so many times, no more than there are devices."""
    with tempfile.TemporaryDirectory() as folder, LocalProcessExecutor(devices, retries=0) as executor:
        for index in range(count):
            executor.submit(Job(name, target, payload, Path(folder, str(index))))
        return [_value(name, executor.wait()) for _ in range(count)]


def _value(name: str, outcome: Outcome | None) -> dict[str, Any]:
    assert outcome is not None
    if outcome.kind in ("out_of_memory", "killed"):
        raise MemoryError(f"{name}: {outcome.failure}")
    if outcome.value is None:
        raise RuntimeError(f"{name} failed: {outcome.failure}")
    return outcome.value
