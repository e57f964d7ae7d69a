"""Metrics every few iterations: JSON lines and TensorBoard events."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from c2fnas.files import append_json_line, cannot_be_written, read_json_lines, write_text
from c2fnas.training.progress import Progress

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
EVERY = 10


class MetricsLog:
    """Writes ``metrics.jsonl`` and ``tensorboard/`` in a folder; nothing at all where ``active`` is false.

    What an earlier session wrote past ``start``, where this one takes up, is taken back: each iteration is told once.

    Raises:
        UserError: the disk is full or the folder can't be written.
    """

    def __init__(self, folder: Path, start: int, *, active: bool = True, every: int = EVERY) -> None:
        self._path, self._curves, self._every, self._active = folder / METRICS, folder / TENSORBOARD, every, active
        self._writer: Any = None
        if active:
            from torch.utils.tensorboard import SummaryWriter

            _forget_after(self._path, start)
            with _readable(self._curves):
                self._writer = SummaryWriter(str(self._curves), purge_step=start + 1 if start else None)

    def iteration(self, progress: Progress, **more: float) -> None:
        """Note an iteration, if it is one of every few, the first or the last."""
        if progress.iteration % self._every and progress.iteration not in (1, progress.iterations):
            return
        self._write(
            progress.iteration,
            {
                "iteration": progress.iteration,
                "iterations": progress.iterations,
                "loss": progress.loss,
                "learning_rate": progress.learning_rate,
                "seconds_per_iteration": progress.seconds_per_iteration,
                **more,
            },
        )

    def validation(self, iteration: int, iterations: int, score: float) -> None:
        """Note a validation."""
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
            # An error under way says more than what follows from it.
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
    # Written anew even where nothing goes: a last line cut short by a crash would swallow the next one.
    if path.exists():
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
