"""The report of a run: one HTML file with everything in it, and its figures beside it."""

import os
import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from c2fnas import __version__
from c2fnas import text as numbers
from c2fnas.errors import UserError
from c2fnas.files import write_text
from c2fnas.report import text
from c2fnas.report.figures.sections import Pictures, draw_figures
from c2fnas.report.final import case_dice
from c2fnas.report.overlays import Overlay, Say, read_overlays, telling_cases
from c2fnas.report.summary import ReportSummary, read_report
from c2fnas.space.geometry import by

PAGE, FIGURES = "index.html", "figures"
TEMPLATE = "page.html.j2"
NUMBERS = (numbers.score, numbers.duration, numbers.device_hours, numbers.large, numbers.plural, numbers.value)


def write_report(
    run: Path,
    *,
    overlays: bool = True,
    device: str = "auto",
    keep_identifiers: bool = False,
    say: Say = lambda text: None,
) -> Path:
    """Write ``report/index.html`` and ``report/figures/*.svg`` and ``*.png`` of a run; an older report is replaced.

    The run is only read: it may be under way.

    Args:
        run: A run folder, finished or not.
        overlays: True to show cases (Figure 6); the first time, three of them are predicted.
        device: Where to predict them.
        keep_identifiers: Show whole paths of the data set and of the run.
        say: Receives a line on everything that takes long.

    Returns:
        The page's path.

    Raises:
        UserError: no run folder, one with a damaged file, or the report can't be written.
    """
    summary = read_report(run, keep_identifiers=keep_identifiers)
    shown, notes = _overlays(summary, overlays, device, say)
    pictures = draw_figures(summary, shown)
    page, figures = summary.folder.report / PAGE, summary.folder.report / FIGURES
    shutil.rmtree(figures, ignore_errors=True)
    for section in pictures.values():
        for each in section:
            each.save(figures)
    html = render_page(summary, pictures, notes)
    if not keep_identifiers:  # failures and notes name files, too
        html = html.replace(str(escape(f"{summary.folder.root.absolute().parent}{os.sep}")), "")
    write_text(page, html)
    return page


def render_page(run: ReportSummary, pictures: Pictures, notes: Sequence[str] = ()) -> str:
    """Return the page as HTML.

    Args:
        run: What it is about.
        pictures: Its figures, by section.
        notes: Why something that a reader might look for is not there, a sentence each.
    """
    environment = Environment(
        loader=PackageLoader("c2fnas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {each.__name__: each for each in (*NUMBERS, by, case_dice)}
    environment.filters["code"] = code
    style = resources.files("c2fnas.report").joinpath("templates/style.css").read_text(encoding="utf-8")
    return environment.get_template(TEMPLATE).render(
        run=run,
        pictures=pictures,
        notes=notes,
        style=Markup(style),
        made=datetime.now(UTC),
        text=text,
        config_text=run.config.text(),
        plan_text=_content(run.folder.plan),
        version=__version__,
    )


def code(text: str) -> Markup:
    """Return ``text`` with parts between backticks as code.

    >>> code("`a<b` & c")
    Markup('<code>a&lt;b</code> &amp; c')
    """
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _content(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _overlays(run: ReportSummary, wanted: bool, device: str, say: Say) -> tuple[tuple[Overlay, ...], list[str]]:
    """Return the cases of Figure 6, or why they are not shown."""
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
