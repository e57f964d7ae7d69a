"""The progress of a stage and the time that is left, as every display shows it."""

from dataclasses import dataclass
from datetime import timedelta


def remaining(left: float, done: float, seconds: float) -> float | None:
    """Return the seconds that ``left`` units will take, if ``done`` units took ``seconds``; None if none is done.

    >>> remaining(4, done=1, seconds=60.0)
    240.0
    """
    return seconds / done * max(0.0, left) if done > 0 else None


def eta_text(seconds: float) -> str:
    """Return the time left as progress lines show it.

    >>> eta_text(239.8)
    'ETA 0:04:00'
    """
    return f"ETA {timedelta(seconds=round(seconds))}"


@dataclass
class StageProgress:
    """The progress of one stage in this session.

    Only units gained since the first update count for the pace: the first ones may be from an earlier session.

    Args:
        total: Units of work.
        began: Time at the start of the stage, in seconds of any clock.
    """

    total: float
    began: float
    done: float = 0.0
    _first: tuple[float, float] | None = None

    def update(self, done: float, now: float) -> None:
        """Note the units done. If they are fewer than at first, a job has started over, and so does the pace."""
        if self._first is None or done < self._first[0]:
            self._first = (done, now)
        self.done = min(done, self.total)

    def eta(self, now: float) -> float | None:
        """Return the seconds left; None before anything is gained."""
        first, since = self._first or (0.0, now)
        return remaining(self.total - self.done, self.done - first, now - since)

    def text(self, now: float) -> str:
        """Return the share done and the time left.

        >>> progress = StageProgress(total=10, began=0.0)
        >>> progress.update(5, now=0.0)
        >>> progress.update(6, now=60.0)
        >>> progress.text(now=60.0)
        '60 %, ETA 0:04:00'
        """
        share, eta = f"{100 * self.done / self.total:.0f} %", self.eta(now)
        return share if eta is None else f"{share}, {eta_text(eta)}"
