"""The page in a real browser: on a desk and a phone every figure has a box, without errors; printed, all is there."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from report_runs import deployed_run, finished_run, searching_run

from c2fnas.report import write_report

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.long, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
    "--window-size=1400,1000",
    "--virtual-time-budget=20000",
)
LISTENS = "<script>const seen = []; addEventListener('error', each => seen.push(String(each.message)), true)</script>"
TELLS = """<script>addEventListener('load', () => parent.postMessage(JSON.stringify({
  boxes: Object.fromEntries([...document.querySelectorAll('figure svg')].map(svg => {
    const box = svg.getBoundingClientRect(), drawn = svg.getBBox();
    return [svg.closest('figure').id, [box.width, box.height, drawn.width, drawn.height]];
  })),
  viewers: [...document.querySelectorAll('.viewer')].map(each => [
    each.querySelector('output').textContent,
    each.querySelectorAll('.slice').length,
    each.querySelector('.pane.truth').getBoundingClientRect().width]),
  images: [...document.querySelectorAll('svg image')].map(each => each.getBoundingClientRect().width),
  sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  errors: seen,
}), '*'))</script>"""
FRAME = """<!doctype html><title>frame</title><iframe src="probe.html" width="{width}" height="900"></iframe>
<script>addEventListener('message', told => {{
  const text = document.createElement('pre');
  text.id = 'told'; text.textContent = told.data; document.body.append(text);
}})</script>"""


def see(page: Path, width: int, profile: Path) -> dict[str, Any]:
    """What a browser says of a page in a window of that width; a frame, since real windows are never that narrow."""
    text = page.read_text(encoding="utf-8")
    probe = text.replace("<head>", f"<head>{LISTENS}", 1).replace("</body>", f"{TELLS}</body>", 1)
    page.with_name("probe.html").write_text(probe, encoding="utf-8")
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.format(width=width), encoding="utf-8")
    command = [str(CHROMIUM), *SWITCHES, f"--user-data-dir={profile}", "--dump-dom", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert told, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert "CONSOLE" not in done.stderr, done.stderr
    return json.loads(html.unescape(told[1]))


@pytest.mark.timeout(1200)
def test_every_figure_is_seen(tmp_path: Path) -> None:
    page = write_report(deployed_run(tmp_path).root, device="cpu")
    names = {path.stem for path in (page.parent / "figures").glob("*.svg")}
    assert len(names) >= 14
    for width in (1280, 390):
        found = see(page, width, tmp_path / f"profile-{width}")
        assert found["errors"] == []
        assert set(found["boxes"]) == names
        for name, sides in found["boxes"].items():
            assert min(sides) > 50, name
        assert len(found["images"]) >= 9  # image, truth and prediction of three cases
        assert min(found["images"]) > 0
        ((shown, slices, pane),) = found["viewers"]
        assert re.fullmatch(r"axial \d+ of \d+", shown), "the script has told which slice is shown"
        assert slices > 3
        assert pane > 100
        assert found["sideways"] <= 0  # wide figures and tables scroll by themselves, the page never does


@pytest.mark.timeout(1200)
def test_a_run_under_way_is_seen(tmp_path: Path) -> None:
    page = write_report(searching_run(tmp_path / "run").root)
    found = see(page, 390, tmp_path / "profile")
    assert found["errors"] == []
    assert {"figure-4-cluster-shares", "coarse-best-so-far"} <= set(found["boxes"])
    assert found["sideways"] <= 0


def printed(page: Path, profile: Path) -> str:
    """The text of a page as it is printed, in one line."""
    pdf = page.with_suffix(".pdf")
    command = [
        str(CHROMIUM),
        *SWITCHES,
        f"--user-data-dir={profile}",
        "--no-pdf-header-footer",
        f"--print-to-pdf={pdf}",
        page.as_uri(),
    ]
    subprocess.run(command, capture_output=True, check=True, timeout=500)
    text = subprocess.run(["pdftotext", str(pdf), "-"], capture_output=True, check=True, encoding="utf-8").stdout
    return " ".join(text.split())


@pytest.mark.timeout(1200)
@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed")
def test_what_folds_away_is_printed(tmp_path: Path) -> None:
    page = write_report(finished_run(tmp_path / "run").root)
    text = printed(page, tmp_path / "profile")
    assert "the loss is not finite" in text, "every candidate"
    assert "found where there is none" in text, "every case"
    assert "a.nii.gz, b.nii.gz" in text, "which files"
    assert "dataset_path: Task00" in text, "the configuration"
    assert text.count("What was done") == 1, "links to sections are of no use on paper"


@pytest.mark.timeout(1200)
def test_an_error_would_be_noticed(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text("<html><head></head><body><script>nothing.there()</script></body></html>")
    with pytest.raises(AssertionError, match="CONSOLE"):
        see(page, 390, tmp_path / "profile")
