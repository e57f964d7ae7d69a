"""The documentation's site is built without a warning, and holds what is made for it from the code."""

import os
import re
import subprocess
import sys
from html import unescape
from importlib import import_module
from pathlib import Path

import pytest
from documents import DOCS, ROOT

from c2fnas.cli import COMMANDS

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
    assert "search fine" in [command.name for command in COMMANDS]
    for command in COMMANDS:
        assert f"$ c2fnas {command.name} " in shown


def test_every_package_shows_exactly_its_public_names(site: Path) -> None:
    packages = [path.parent.name for path in (ROOT / "src" / "c2fnas").glob("*/__init__.py")]
    left_out = {"api", "cli", "presets", "pretrained"}  # the pages of c2fnas and of the command line, and no code
    for room in ["c2fnas", *(set(packages) - left_out)]:
        package = import_module("c2fnas" if room == "c2fnas" else f"c2fnas.{room}")
        page = site / "reference" / room / "index.html"
        sections = re.findall(r'<h2 id="(c2fnas[\w.]*)"', page.read_text(encoding="utf-8"))
        names = [name for name in getattr(package, "__all__", ()) if name not in ("__version__", "bench")]
        if names:
            assert sorted(section.rpartition(".")[2] for section in sections) == sorted(names), room
        else:
            assert {section.split(".")[1] for section in sections} == {room}


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
