"""The page of the run that is recorded under docs/results: it can be drawn again from what was kept of the run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from c2fnas.report import write_report
from c2fnas.report.summary import read_report

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "docs" / "results" / "hippocampus"
FILES = {
    "plan.yaml": "plan.yaml",
    "folds.json": "folds.json",
    "fine/ranking.json": "ranking.json",
    "fine/verification.json": "verify.json",
    "verdict/verdict.json": "verdict.json",
    **{f"{stage}/architecture.json": "architecture.json" for stage in ("coarse", "fine", "final")},
}


@pytest.mark.long
def test_the_recorded_run_is_drawn_again(tmp_path: Path) -> None:
    for place, name in FILES.items():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        shutil.copy(RECORDED / name, tmp_path / place)
    command = [sys.executable, ROOT / "benchmarks" / "convert_0_1_run.py", RECORDED, tmp_path]
    subprocess.run(list(map(str, command)), check=True)
    run = read_report(tmp_path)
    assert (len(run.coarse.evaluated), len(run.fine.candidates), len(run.fine.finalists)) == (50, 2000, 263)
    page = write_report(tmp_path, overlays=False)
    published = (RECORDED / "report" / "index.html").read_text(encoding="utf-8")
    assert run.verdict is not None
    assert run.verdict.sentence in published
    found, known = (
        re.findall(r'<figure id="((?:coarse|fine|figure-[45])[^"]*)"', text)
        for text in (page.read_text(encoding="utf-8"), published)
    )
    assert set(found) <= set(known)
    assert {"figure-4-cluster-shares", "figure-5-architecture", "fine-pareto", "fine-effects", "fine-trust"} <= set(
        found
    )
