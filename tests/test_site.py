"""The documentation's site is built without a warning, and holds what is made for it from the code."""

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from documents import DOCS, ROOT

from c2fnas.cli import app

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make docs` builds, somewhere else."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return folder


def text_of(page: Path) -> str:
    return unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_command_is_on_the_page_of_the_command_line(site: Path) -> None:
    shown = text_of(site / "reference" / "command-line" / "index.html")
    groups = [("", app)] + [(f"{group.name} ", group.typer_instance) for group in app.registered_groups]
    assert "search " in [name for name, _ in groups]
    for group, commands in groups:
        for command in commands.registered_commands:
            name = command.name or command.callback.__name__.replace("_", "-")
            assert f"$ c2fnas {group}{name} " in shown


def test_every_room_shows_its_modules(site: Path) -> None:
    for room in (path.parent for path in (ROOT / "src" / "c2fnas").glob("*/__init__.py")):
        if room.name in ("cli", "presets", "pretrained"):  # the page of the command line, and no code
            continue
        shown = text_of(site / "reference" / room.name / "index.html")
        for module in room.glob("[!_]*.py"):
            assert f"c2fnas.{room.name}.{module.stem}" in shown


def test_docstrings_are_rendered_as_they_are_meant(site: Path) -> None:
    page = (site / "reference" / "space" / "index.html").read_text(encoding="utf-8")
    assert ":class:" not in page
    assert ":func:" not in page
    assert "<blockquote>" not in page  # what Markdown takes a doctest's >>> for
    assert '<span class="gp">&gt;&gt;&gt; </span>' in page


@pytest.mark.parametrize("folder", ["decisions", "results"])
def test_every_decision_and_result_is_listed_with_its_title(site: Path, folder: str) -> None:
    shown = text_of(site / "explanation" / folder / "index.html")
    for page in (DOCS / folder).glob("*.md"):
        title = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").replace("`", "")
        assert title in shown


def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]+)"', page.read_text(encoding="utf-8"))
        assert [url for url in loaded if "c2fnas" not in url] == [], page
