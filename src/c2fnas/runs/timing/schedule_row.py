"""The rows of ``schedule.jsonl``: what each stage of a time budget was given before it began, fixed for it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from c2fnas.files import append_json_line, read_json_lines, refusing_damage
from c2fnas.runs.timing.timings import Timings

VERDICT = "verdict"


@dataclass(frozen=True)
class ScheduleRow:
    """The counts and the time that a stage was given.

    Attributes:
        stage: its name.
        spent: seconds of the run when it was given.
        left: seconds of the budget.
        counts: of this stage and those after it, by field.
        timings: of the network that is trained, by which the counts were derived; None for a verdict.
        seconds: that a verdict may take; None for a stage.
    """

    stage: str
    spent: float
    left: float
    counts: Mapping[str, Any] = field(default_factory=dict)
    timings: Timings | None = None
    seconds: float | None = None

    def append(self, path: Path) -> None:
        """Write it down as the last row; what it does not have is left out."""
        known = {name: value for name, value in asdict(self).items() if value not in (None, {})}
        append_json_line(path, known | {name: round(known[name], 1) for name in ("spent", "left")})


def schedule_rows(path: Path) -> Iterator[ScheduleRow]:
    """Yield the rows, oldest first; none where there is no file.

    Raises:
        UserError: one is damaged, or of another version.
    """
    fix = "Begin another run folder; `--like` takes over the plan and the folds of this one."
    for row in read_json_lines(path):
        with refusing_damage(path, "the schedule of a run", fix):
            timings = {"timings": Timings(**row["timings"])} if "timings" in row else {}
            found = ScheduleRow(**{**row, **timings})
        yield found


def seconds_of_verdict(path: Path) -> float | None:
    """Return the seconds that a verdict was given; None before it was."""
    return next((row.seconds for row in schedule_rows(path) if row.stage == VERDICT), None)
