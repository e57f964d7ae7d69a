"""The part of a time budget that is kept for a verdict, and for the end."""

from collections.abc import Callable
from math import log

from c2fnas.files import read_json
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.timing.slots import Slots

END_SHARE, END_SECONDS = 0.03, 120.0
"""The share of a budget, and the most of it, that is kept for the end: comparisons, the report, what was forgotten."""
VERDICT_SHARE = 0.25
"""The most of a budget that a verdict takes: each of its references is trained once, on one fold."""

LEAST_SHARE = 0.05
"""The share of a budget that what is left of a run has in any case: where the time is spent, it ends after it."""


def kept_for_the_end(budget: float) -> float:
    """Return the seconds of a budget that no stage is given."""
    return min(END_SHARE * budget, END_SECONDS)


def verdict_allowance(config: RunConfig, left: float) -> float | None:
    """Return the seconds that a verdict may take: a quarter of the budget, or what remains. None without a budget."""
    if config.seconds is None:
        return None
    return max(0.0, min(VERDICT_SHARE * config.seconds, left - kept_for_the_end(config.seconds)))


def least_of_a_budget(budget: float) -> float:
    """Return the seconds that what is left of a run has where its time is spent already."""
    return LEAST_SHARE * budget


def slowdown(alone: float, jobs: int, devices: int) -> float:
    """Return the seconds of a job in a stage of ``jobs``, in parts of those of one beside others on every device.

    Where a stage has fewer jobs than devices that share a processor, each has more cores. ``alone`` is what was
    measured for a single job; between the two a power of the cores is assumed.

    >>> slowdown(0.6, jobs=1, devices=2), slowdown(0.6, jobs=5, devices=2)
    (0.6, 1.0)
    >>> round(slowdown(0.36, jobs=2, devices=4), 6)
    0.6
    """
    if devices == 1 or jobs >= devices:
        return 1.0
    return float(alone ** (log(devices / max(1, jobs)) / log(devices)))


def measured_alone(folder: RunFolder, slots: Slots) -> float:
    """Return what :func:`slowdown` needs to know, as it was timed; 1 where no steps were, and on a cluster."""
    if slots.elsewhere:  # a job has the cores that it was given there
        return 1.0
    return float(read_json(folder.timings)["seconds"].get("alone", 1.0)) if folder.timings.exists() else 1.0


def cost_of_references(seconds: float, trained: int, devices: int, alone: float = 1.0) -> Callable[[int], float]:
    """Return the function from a number of references to the seconds of their trainings, each on one fold.

    Args:
        seconds: of a final network.
        trained: final networks, which may have had more cores each.
        devices: that work at a time.
        alone: see :func:`slowdown`.

    >>> cost = cost_of_references(60, trained=1, devices=2, alone=0.5)
    >>> cost(1), cost(2), cost(3)
    (60.0, 120.0, 240.0)
    """
    beside = seconds / slowdown(alone, trained, devices)
    return lambda count: -(-count // devices) * beside * slowdown(alone, count, devices)


def affordable_references(most: int, allowance: float | None, cost: Callable[[int], float]) -> int:
    """Return how many references a verdict of ``allowance`` seconds trains: as many as one costs at least.

    ``cost`` is that of so many references; None for the allowance: however long they take.

    >>> cost = cost_of_references(60, trained=1, devices=1)
    >>> [affordable_references(4, allowance, cost) for allowance in (None, 130, 50)]
    [4, 2, 1]
    >>> affordable_references(4, 50, cost_of_references(60, trained=1, devices=2))
    2
    """
    if allowance is None:
        return most
    limit = max(allowance, cost(1)) * (1 + 1e-9)
    return max((count for count in range(1, most + 1) if cost(count) <= limit), default=0)
