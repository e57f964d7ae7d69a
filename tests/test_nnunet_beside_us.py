"""The nnU-Net comparison's own parts: what is recorded is what was measured, and lengths are not mixed."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from nnunet_beside_us import RESULTS, ROOT, architecture, keep_to
from nnunet_report import table

ASKED = {"minutes": 4.0, "folds": "4", "architecture": "c2fnas-panc", "width": None, "device": "cpu", "cases": None}


@pytest.mark.parametrize("suffix", ["", "_sgd"])
def test_the_recorded_page_is_that_of_the_recorded_figures(suffix: str) -> None:
    recorded = json.loads((RESULTS / f"nnunet_beside_us{suffix}.json").read_text())
    assert (RESULTS / f"nnunet_beside_us{suffix}.md").read_text() == table(recorded)


def test_the_same_call_carries_on_in_a_work_folder(tmp_path: Path) -> None:
    for _ in range(2):
        keep_to(tmp_path / "work", Namespace(dataset=tmp_path, **ASKED))


@pytest.mark.parametrize(("name", "value"), [("minutes", 120.0), ("device", "cuda"), ("folds", "3,4"), ("width", 0.5)])
def test_another_call_does_not_take_its_trainings(tmp_path: Path, name: str, value: object) -> None:
    keep_to(tmp_path / "work", Namespace(dataset=tmp_path, **ASKED))
    with pytest.raises(SystemExit, match=f"{name} was {ASKED[name]}"):
        keep_to(tmp_path / "work", Namespace(dataset=tmp_path, **ASKED | {name: value}))


def test_an_architecture_of_the_repository_is_named_by_its_place(tmp_path: Path) -> None:
    place = "docs/results/hippocampus/architecture.json"
    assert architecture(str(ROOT / place)) == place
    assert architecture(str(tmp_path)) == "RUN"
    assert architecture("c2fnas-panc") == "c2fnas-panc"
