"""The processor cores that this process may use: a container or an affinity mask allows fewer than the machine has."""

import os
import time
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

from c2fnas.cgroups import container_cores

CPU_TIMES = Path("/proc/stat")
SPINS = 1000
"""Rounds for which a thread of OpenMP waits awake: microseconds."""


def usable_cores() -> int:
    """Return the cores that the affinity mask and the container's quota allow; one at least."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, container_cores(cores))


def usable_threads() -> int:
    """Return the threads that computing may use: the usable cores, or ``OMP_NUM_THREADS`` where that is lower."""
    return limited_threads("OMP_NUM_THREADS", usable_cores())


def limited_threads(variable: str, threads: int) -> int:
    """Return ``threads``, or the number in the environment variable where that is lower; all else is ignored."""
    text = os.environ.get(variable, "")
    return min(threads, int(text)) if text.isdecimal() and int(text) > 0 else threads


def busy_cores(seconds: float = 0.3, path: Path = CPU_TIMES) -> float:
    """Return how many of the cores of the affinity mask are busy, while this process sleeps for so many seconds.

    0 where the system does not say.
    """
    with suppress(OSError, ValueError, LookupError):  # a container may count its cores otherwise than its mask
        before = _ticks(path)
        time.sleep(seconds)
        spans = [(busy - before[core][0], whole - before[core][1]) for core, (busy, whole) in _ticks(path).items()]
        return sum(busy / whole for busy, whole in spans if whole > 0)
    return 0.0


def _ticks(path: Path) -> dict[int, tuple[int, int]]:
    """The ticks that each core of the affinity mask was busy for, and all of its ticks, since the system began."""
    rows = (line.split() for line in path.read_text().splitlines() if line.startswith("cpu"))
    times = {int(name[3:]): [int(each) for each in ticks[:8]] for name, *ticks in rows if name != "cpu"}
    return {core: (sum(times[core]) - sum(times[core][3:5]), sum(times[core])) for core in os.sched_getaffinity(0)}


def spin_briefly(environment: MutableMapping[str, str]) -> None:
    """Have threads of OpenMP that are started with ``environment`` wait awake for microseconds, then asleep.

    To sleep at once costs a quiet machine half its speed, to spin for long a busy one nearly all of it
    (docs/decisions/0103). What the user has set is kept.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", str(SPINS))
