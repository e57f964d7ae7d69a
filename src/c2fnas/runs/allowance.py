"""The part of a time budget that is kept for a verdict, and for the end. Pure functions."""

from c2fnas.runs.config import RunConfig

END_SHARE, END_SECONDS = 0.03, 120.0
"""The share of a budget, and the most of it, that is kept for the end: comparisons, the report, what was forgotten."""
VERDICT_SHARE = 0.25
"""The most of a budget that a verdict takes: each of its references is trained once, on one fold."""


def kept_for_the_end(budget: float) -> float:
    """Return the seconds of a budget that no stage is given."""
    return min(END_SHARE * budget, END_SECONDS)


def verdict_allowance(config: RunConfig, left: float) -> float | None:
    """Return the seconds that a verdict may take: a quarter of the budget, or what remains. None without a budget."""
    if config.hours is None:
        return None
    budget = 3600 * config.hours
    return max(0.0, min(VERDICT_SHARE * budget, left - kept_for_the_end(budget)))


def affordable_references(most: int, allowance: float | None, seconds: float, devices: int) -> int:
    """Return how many references a verdict of ``allowance`` seconds trains, each on one fold: a round at least.

    ``seconds`` is the length of a training; None for the allowance: however long they take.

    >>> [affordable_references(4, allowance, 60, devices=1) for allowance in (None, 130, 50)]
    [4, 2, 1]
    >>> affordable_references(4, 50, 60, devices=2)
    2
    """
    return most if allowance is None else min(most, devices * max(1, int(allowance / max(seconds, 1e-9))))
