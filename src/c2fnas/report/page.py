"""The page: one HTML file with everything in it, made from a run's facts and figures by a template."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from c2fnas import __version__
from c2fnas.report import story, words
from c2fnas.report.facts.final import case_dice
from c2fnas.report.facts.run import RunFacts
from c2fnas.report.figures.style import Picture
from c2fnas.report.gallery import Gallery
from c2fnas.space.geometry import by

TEMPLATE = "page.html.j2"


def render_page(run: RunFacts, gallery: Gallery, notes: Sequence[str] = ()) -> str:
    """The page as text.

    Args:
        run: What it is about.
        gallery: Its figures.
        notes: Why something that a reader might look for is not there, a sentence each.
    """
    environment = Environment(
        loader=PackageLoader("c2fnas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        name: getattr(words, name) for name in ("score", "duration", "device_hours", "large", "plural", "value")
    }
    environment.globals |= {"by": by, "case_dice": case_dice, "inline": _inline}
    environment.filters["code"] = code
    style = resources.files("c2fnas.report").joinpath("templates/style.css").read_text(encoding="utf-8")
    return environment.get_template(TEMPLATE).render(
        run=run,
        gallery=gallery,
        notes=notes,
        style=Markup(style),
        made=datetime.now(UTC),
        story=story,
        config_text=_text(run.folder.config),
        plan_text=_text(run.folder.plan),
        version=__version__,
    )


def _inline(figure: Picture) -> Markup:
    return Markup(figure.inline)


def code(text: str) -> Markup:
    """``text`` with what stands between backticks as code.

    >>> code("`a<b` & c")
    Markup('<code>a&lt;b</code> &amp; c')
    """
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
