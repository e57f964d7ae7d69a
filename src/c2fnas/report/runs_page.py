"""The page of several runs: one HTML file, and its figures beside it."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from c2fnas.files import write_text
from c2fnas.report.comparison import basis, read_runs
from c2fnas.report.figures.runs import draw_runs
from c2fnas.report.page import FIGURES, PAGE, STAGE, render, without_folders
from c2fnas.runs.reporter import Reporter, listening
from c2fnas.text import plural

FOLDER = "comparison"


def write_comparison(
    runs: Sequence[Path],
    folder: Path | None = None,
    *,
    keep_identifiers: bool = False,
    reporter: Reporter | None = None,
) -> Path:
    """Write a page of several runs side by side, and its figures; an older one is replaced.

    Args:
        runs: Run folders, finished or not; they are only read.
        folder: Where to; by default ``comparison`` beside the runs.
        keep_identifiers: Show whole paths.
        reporter: Hears of the progress.

    Returns:
        The page's path.

    Raises:
        UserError: one is no run folder or damaged, or the page can't be written.
    """
    told = listening(reporter)
    told.start(STAGE, len(runs) + 1)
    found = read_runs(
        runs, keep_identifiers=keep_identifiers, progress=lambda done, total: told.update(STAGE, done, "reading runs")
    )
    place = folder or beside(runs) / FOLDER
    pictures = draw_runs(found)
    if folder is None:  # in another folder there may be figures of the user's own
        shutil.rmtree(place / FIGURES, ignore_errors=True)
    for each in pictures:
        each.save(place / FIGURES)
    stages = dict.fromkeys(each.name for run in found.runs for each in run.summary.stages)
    html = render("runs.html.j2", runs=found, pictures=pictures, stages=[*stages], basis=basis)
    write_text(place / PAGE, html if keep_identifiers else without_folders(html, runs))
    told.finish(STAGE, plural(len(runs), "run"))
    return place / PAGE


def beside(runs: Sequence[Path]) -> Path:
    """Return the innermost folder that holds all runs."""
    return Path(os.path.commonpath([run.absolute().parent for run in runs]))
