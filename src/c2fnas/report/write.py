"""The report of a run: read, drawn and written into ``RUN/report``."""

import shutil
from collections.abc import Callable
from pathlib import Path

from c2fnas.errors import UserError
from c2fnas.files import write_text
from c2fnas.report.facts.run import RunFacts, read_run
from c2fnas.report.gallery import draw_gallery
from c2fnas.report.overlays import Overlay, read_overlays, telling_cases
from c2fnas.report.page import render_page

PAGE, FIGURES = "index.html", "figures"

Say = Callable[[str], None]


def write_report(run: Path, *, overlays: bool = True, device: str = "auto", say: Say = lambda text: None) -> Path:
    """Write ``report/index.html`` and ``report/figures/*.svg`` and ``*.png`` of a run; an older report is replaced.

    The run is only looked at: it may be under way.

    Args:
        run: A run folder, finished or not.
        overlays: Whether to show cases (Figure 6); the first time, three of them are predicted.
        device: Where to predict them.
        say: Hears what takes long.

    Returns:
        The page's path.

    Raises:
        UserError: no run folder, one with a damaged file, or the report can't be written.
    """
    facts = read_run(run)
    shown, notes = _overlays(facts, overlays, device, say)
    gallery = draw_gallery(facts, shown)
    figures = facts.folder.report / FIGURES
    shutil.rmtree(figures, ignore_errors=True)
    for section in gallery.values():
        for each in section:
            each.save(figures)
    page = facts.folder.report / PAGE
    write_text(page, render_page(facts, gallery, notes))
    return page


def _overlays(run: RunFacts, wanted: bool, device: str, say: Say) -> tuple[tuple[Overlay, ...], list[str]]:
    """The cases of Figure 6, or why they are not shown."""
    if not wanted:
        return (), ["Cases are not shown: the report was asked for without them (--no-overlays)."]
    if not run.final.finished:
        return (), ["Cases are not shown: no final network is finished yet."]
    if not telling_cases(run.final):
        return (), ["Cases are not shown: no fold has a model package."]
    try:
        return read_overlays(run.folder, run.final, run.config.deployment.recipe.precision, device=device, say=say), []
    except UserError as error:  # a report without them is better than none
        say(f"Cases are not shown: {error}")
        return (), [f"Cases are not shown: {error}"]
