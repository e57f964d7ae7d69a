"""The report of a run: one HTML file with everything in it, and its figures beside it."""

import base64
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from c2fnas import __version__
from c2fnas import text as numbers
from c2fnas.errors import UserError
from c2fnas.files import write_text
from c2fnas.report import repeat, text
from c2fnas.report.figures.sections import Pictures, draw_figures
from c2fnas.report.final import case_dice
from c2fnas.report.overlays import Overlay, Predictions, read_overlays, telling_cases, viewed_case
from c2fnas.report.summary import ReportSummary, read_report
from c2fnas.report.viewer import CaseView, view_case
from c2fnas.runs.reporter import Reporter, listening
from c2fnas.text import minus, plural

PAGE, FIGURES = "index.html", "figures"
TEMPLATE = "page.html.j2"
STAGE, READ, SHOWN = "report", 0.1, 0.5
"""The name of its bar, and the parts of it that are done when the run is read, and when cases are."""
NUMBERS = (
    numbers.crossed,
    numbers.score,
    numbers.duration,
    numbers.device_time,
    numbers.large,
    numbers.plural,
    numbers.rough,
    numbers.value,
)


def write_report(
    run: Path,
    folder: Path | None = None,
    *,
    overlays: bool = True,
    case: str | None = None,
    device: str = "auto",
    keep_identifiers: bool = False,
    reporter: Reporter | None = None,
) -> Path:
    """Write ``index.html`` and ``figures/*.svg``, ``*.png`` and ``*.csv``; an older report is replaced.

    In another folder than the run's own, files that are not written anew stay.

    The run is only read: it may be under way.

    Args:
        run: A run folder, finished or not.
        folder: Where the page goes; by default ``report`` in the run folder.
        overlays: True to show cases (Figure 6, and one to scroll through).
        case: The validation case to scroll through; by default the worst.
        device: Where to predict those that the evaluation has not kept.
        keep_identifiers: Show whole paths of the data set and of the run.
        reporter: Hears of the progress.

    Returns:
        The page's path.

    Raises:
        UserError: no run folder, one with a damaged file, no such case, or the report can't be written.
    """
    told = listening(reporter)
    told.start(STAGE, 1.0)
    summary = read_report(run, folder, keep_identifiers=keep_identifiers)
    told.update(STAGE, READ, "cases")
    goal = folder or summary.folder.report
    shown, view, notes = _cases(summary, goal, overlays, case, device, told)
    told.update(STAGE, SHOWN, "figures")
    drawn = partial(_tell_figures, told)
    pictures = draw_figures(summary, shown, drawn)
    page, figures = goal / PAGE, goal / FIGURES
    if folder is None:  # in another folder there may be figures of the user's own
        shutil.rmtree(figures, ignore_errors=True)
    for section in pictures.values():
        for each in section:
            each.save(figures)
    if summary.repeat is not None:
        write_text(goal / repeat.FILE, summary.repeat.content)
    root = summary.folder.root.absolute()
    html = render_page(summary, pictures, notes, view, place=str(root) if keep_identifiers else root.name)
    write_text(page, html if keep_identifiers else without_folders(html, [root]))
    told.finish(STAGE, plural(sum(map(len, pictures.values())), "figure"))
    return page


def without_folders(html: str, runs: Iterable[Path]) -> str:
    """Return a page without the folders above its runs, which failures and notes name, too."""
    for above in sorted({run.absolute().parent for run in runs}, key=lambda path: len(path.parts), reverse=True):
        if above != Path(above.anchor):
            html = html.replace(str(escape(f"{above}{os.sep}")), "")
    return html


def _tell_figures(reporter: Reporter, done: int, total: int) -> None:
    reporter.update(STAGE, SHOWN + (1 - SHOWN) * done / total, f"figure {done} of {total}")


def render_page(
    run: ReportSummary,
    pictures: Pictures,
    notes: Sequence[str] = (),
    view: CaseView | None = None,
    *,
    place: str | None = None,
) -> str:
    """Return the page as HTML.

    Args:
        run: What it is about.
        pictures: Its figures, by section.
        notes: Why something that a reader might look for is not there, a sentence each.
        view: A case to scroll through.
        place: The run folder as it is named at the end; by default the last part of its path.
    """
    return render(
        TEMPLATE,
        run=run,
        place=place or run.folder.root.absolute().name,
        pictures=pictures,
        notes=notes,
        view=view,
        script=Markup(_template("viewer.js")),
        repeat_link=_link(run.repeat.content) if run.repeat else "",
        text=text,
        config_text=run.config.text(),
        plan_text=_content(run.folder.plan),
    )


def render(template: str, **values: Any) -> str:
    """Return a page of the report as HTML, with style, date and version."""
    environment = Environment(
        loader=PackageLoader("c2fnas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {each.__name__: each for each in (*NUMBERS, case_dice)}
    environment.filters |= {"code": code, "minus": minus}
    style = Markup(_template("style.css"))
    return environment.get_template(template).render(style=style, made=datetime.now(UTC), version=__version__, **values)


def _template(name: str) -> str:
    return resources.files("c2fnas.report").joinpath(f"templates/{name}").read_text(encoding="utf-8")


def _link(content: str) -> str:
    """Return a file as an address that a link inside the page can have."""
    return f"data:application/json;base64,{base64.b64encode(content.encode()).decode()}"


def code(text: str) -> Markup:
    """Return ``text`` with parts between backticks as code.

    >>> code("`a<b` & c")
    Markup('<code>a&lt;b</code> &amp; c')
    """
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _content(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _cases(
    run: ReportSummary, place: Path, wanted: bool, case: str | None, device: str, reporter: Reporter
) -> tuple[tuple[Overlay, ...], CaseView | None, list[str]]:
    """Return the cases of Figure 6 and the one to scroll through, or why they are not shown."""
    if not wanted:
        return (), None, ["Cases are not shown: the report was asked for without them (--no-overlays)."]
    if not run.final.finished:
        return (), None, ["Cases are not shown: no final network is finished yet."]
    if not telling_cases(run.final):
        return (), None, ["Cases are not shown: no fold has a model package."]
    precision = run.config.deployment.recipe.precision
    predictions = Predictions(run.folder, precision, device, reporter.say, place)
    fold, scores = viewed_case(run.final, case)
    try:
        volumes = predictions.volumes(fold, scores.case)
        names = tuple(each.name for each in run.plan.classes) if run.plan else ()
        return read_overlays(run.final, predictions), view_case(volumes, fold.fold, scores, names), []
    except UserError as error:  # a report without them is better than none
        reporter.say(f"Cases are not shown: {error}")
        return (), None, [f"Cases are not shown: {error}"]
