"""Progress of a training, and its metrics every few iterations as JSON lines and TensorBoard events."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from c2fnas.files import append_json_line, cannot_be_written, read_json_lines, write_text

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
EVERY = 10


@dataclass(frozen=True)
class Progress:
    """The state of a training after an iteration.

    Attributes:
        iteration: iterations done, with those of earlier sessions.
        iterations: iterations of the whole training.
        loss: of the last iteration whose loss was read; None where fp16 overflowed and the iteration was skipped.
        learning_rate: of the last iteration.
        seconds_per_iteration: the mean of the last ones.
    """

    iteration: int
    iterations: int
    loss: float | None
    learning_rate: float
    seconds_per_iteration: float

    @property
    def remaining(self) -> float:
        """Seconds to the end, at this pace.

        >>> Progress(90, 100, 0.5, 0.01, 2.0).remaining
        20.0
        """
        return (self.iterations - self.iteration) * self.seconds_per_iteration


def is_shown(iteration: int, iterations: int) -> bool:
    """True for an iteration whose metrics are written: one of every few, the first or the last."""
    return iteration % EVERY == 0 or iteration in (1, iterations)


class MetricsLog:
    """A writer of ``metrics.jsonl`` and ``tensorboard/`` in a folder; it writes nothing where ``active`` is false.

    Lines of an earlier session past iteration ``start``, where this one resumes, are removed.

    Raises:
        UserError: the disk is full or the folder can't be written.
    """

    def __init__(self, folder: Path, start: int, *, active: bool = True) -> None:
        self._path, self._curves, self._active = folder / METRICS, folder / TENSORBOARD, active
        self._writer: Any = None
        if active:
            from torch.utils.tensorboard import SummaryWriter

            _forget_after(self._path, start)
            with _readable(self._curves):
                self._writer = SummaryWriter(str(self._curves), purge_step=start + 1 if start else None)

    def iteration(self, progress: Progress, **more: float) -> None:
        """Write an iteration, if it is one of every few, the first or the last."""
        if is_shown(progress.iteration, progress.iterations):
            self._write(progress.iteration, {**asdict(progress), **more})

    def validation(self, iteration: int, iterations: int, score: float) -> None:
        """Write the score of a validation."""
        self._write(iteration, {"iteration": iteration, "iterations": iterations, "validation": score})

    def _write(self, iteration: int, values: dict[str, float | int | None]) -> None:
        if not self._active:
            return
        known = {name: value for name, value in values.items() if value is not None}
        append_json_line(self._path, known)
        with _readable(self._curves):
            for name in known.keys() - {"iteration", "iterations"}:
                self._writer.add_scalar(name, known[name], iteration)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            # an earlier error says more than one that follows from it
            with _readable(self._curves) if error is None else suppress(OSError):
                self._writer.close()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_be_written(path, error, "checkpoints written before are intact") from error


def _forget_after(path: Path, iteration: int) -> None:
    lines = list(read_json_lines(path))
    kept = [line for line in lines if isinstance(line, dict) and line.get("iteration", 0) <= iteration]
    # Written again even where nothing goes: a last line cut short by a crash would swallow the next one.
    if path.exists():
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
