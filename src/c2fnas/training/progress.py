"""Where a training stands."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Said after every iteration.

    Attributes:
        iteration: iterations done, those of earlier sessions included.
        iterations: how many there will be.
        loss: the last iteration's; None where fp16 overflowed and the iteration was skipped.
        learning_rate: of the last iteration.
        seconds_per_iteration: lately.
    """

    iteration: int
    iterations: int
    loss: float | None
    learning_rate: float
    seconds_per_iteration: float

    @property
    def remaining(self) -> float:
        """Seconds until the end, at this pace.

        >>> Progress(90, 100, 0.5, 0.01, 2.0).remaining
        20.0
        """
        return (self.iterations - self.iteration) * self.seconds_per_iteration
