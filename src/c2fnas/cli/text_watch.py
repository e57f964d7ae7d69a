"""A run that is watched, as text that is drawn again."""

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from c2fnas.cli.text_table import aligned
from c2fnas.text import duration, plural, score

if TYPE_CHECKING:
    from c2fnas.api.watching import Watch
    from c2fnas.runs.stage_summary import StageSummary
    from c2fnas.runs.state import RunState

BAR = 10


def follow(watch: "Watch") -> str:
    """Draw the run until it is finished, or until Ctrl-C; return the text to leave behind, where it is not drawn."""
    with ExitStack() as stack:
        address = None if watch.port is None else stack.enter_context(watch.serve())
        if not sys.stdout.isatty():
            text = state(watch.look(), address)
            if address is None:
                return text
            print(text, flush=True)
            _wait(watch)
            return ""
        _draw(watch, address)
        if address is not None:
            _wait(watch)
    return ""


def state(found: "RunState", address: str | None = None) -> str:
    """Return a sentence on where a run stands, then its stages, what is at work and what was found."""
    run = found.summary
    lines = [str(found.folder.root), found.text, *([f"The page: {address} (Ctrl-C ends it)"] if address else [])]
    if run is not None:
        kind = "a search" if run.config.kind == "search" else "a training"
        lines[0] += f": {kind} on {run.config.dataset}, budget {run.config.budget}"
        lines += ["", aligned([["", "", "done", "spent", "left"], *map(_row, run.stages)], left=2), ""]
        lines += [f"  {job}" for job in found.jobs]
        if run.best_dice is not None:
            lines.append(f"Best Dice of a candidate so far: {score(run.best_dice)}")
        for fold, each in run.evaluations.items():
            on = "every case" if fold == "every-case" else f"fold {fold}"
            lines.append(f"Dice {score(each.mean)} on {plural(len(each.cases), 'validation case')} of {on}")
        if run.verdict is not None:
            lines.append(run.verdict.sentence)
    return "\n".join(lines)


def _row(stage: "StageSummary") -> list[str]:
    share = 1.0 if stage.finished else min(1.0, stage.done / max(1, stage.total))
    bar = "━" * round(BAR * share)
    done = f"{stage.done:,}/{stage.total:,} {stage.unit.split()[-1]}"
    left = "nothing" if stage.finished else duration(stage.eta)
    return [stage.name, f"{bar:┄<{BAR}}", done, duration(stage.clock), left]


def _draw(watch: "Watch", address: str | None) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    try:
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            for found in watch:
                live.update(Text(state(found, address), overflow="fold"), refresh=True)
    except KeyboardInterrupt:
        return


def _wait(watch: "Watch") -> None:
    """Wait for Ctrl-C, while the page is served."""
    try:
        while True:
            time.sleep(watch.every)
    except KeyboardInterrupt:
        return
