"""The page of the run that is recorded under docs/results: it can be drawn again from what was kept of the run."""

import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from c2fnas.report import write_report
from c2fnas.report.summary import read_report
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.records.ranked import read_ranked

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "docs" / "results" / "hippocampus"


def restore(root: Path) -> RunFolder:
    """Put the recorded run back into ``root``, as the command of its page does."""
    spec = spec_from_file_location("recorded_report", ROOT / "benchmarks" / "recorded_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = module.restore(root)
    assert isinstance(folder, RunFolder)
    return folder


@pytest.mark.long
def test_the_recorded_run_is_drawn_again(tmp_path: Path) -> None:
    restore(tmp_path)
    run = read_report(tmp_path)
    assert (len(run.coarse.evaluated), len(run.fine.candidates), len(run.fine.finalists)) == (50, 2000, 263)
    best = max(read_ranked(RunFolder(tmp_path)), key=lambda each: (each.cases, each.dice or 0))
    assert best.architecture.to_json() == json.loads((RECORDED / "architecture.json").read_text(encoding="utf-8"))
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
