"""`c2fnas search fine`, its options and what it prints."""

import json
from pathlib import Path
from typing import Any

import pytest
from fine_run import TOPOLOGY, inline, prepared_run
from typer.testing import CliRunner, Result

import c2fnas.execution
from c2fnas.cli import app
from c2fnas.errors import UserError
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages.pipeline import amend

TEXT = Architecture.uniform(TOPOLOGY).to_text()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prepared_run(tmp_path_factory.mktemp("searched"))


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c2fnas.execution, "LocalProcessExecutor", lambda devices: inline())


def search(run: Path, *options: str) -> Result:
    arguments = ["search", "fine", "--run", str(run), "--quiet", *options]
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def found_by(run: Path, *options: str) -> Any:
    return json.loads(search(run, *options, "--json").stdout)


def test_a_call_sees_what_an_earlier_one_on_the_same_object_has_changed(tmp_path: Path) -> None:
    opened = c2fnas.open_run(prepared_run(tmp_path).folder.root)
    with opened.working() as run:
        amend(run, {"deployment.recipe.iterations": 7})
    with opened.working() as run:
        assert run.config.deployment.recipe.iterations == 7


def test_a_run_that_ranks_nothing_says_which_operations_it_takes(tmp_path: Path) -> None:
    run = prepared_run(tmp_path, candidates=0).folder.root
    assert "No operations are ranked" in search(run, "--topology", TEXT).stdout
    assert found_by(run, "--topology", TEXT)["architecture"] == Architecture.uniform(TOPOLOGY, width=0.0625).to_text()


def test_the_whole_way(finished: Run) -> None:
    run = finished.folder.root
    with pytest.raises(UserError, match="c2fnas search coarse"):
        search(run)
    found = found_by(
        run,
        "--topology",
        TEXT,
        "--candidates",
        "9",
        "--sampling",
        "strict",
        "--verify",
        "3",
        "--verify-iterations",
        "2",
    )
    assert Architecture.from_text(found["architecture"]).topology == TOPOLOGY
    assert found["ranking"]["candidates"] == 9
    assert found["ranking"]["sampling"] == [[1, 1, 1]] * 12
    assert found["dice"] == max(row["dice"] for row in found["front"])
    assert [row["macs"] for row in found["front"]] == sorted(row["macs"] for row in found["front"])
    assert -1 <= found["interval"][0] <= found["tau"] <= found["interval"][1] <= 1
    assert found["seed_sd"] > 0
    assert Run.open(run).config.fine.sampling == "strict"


def test_afterwards_it_answers_at_once(finished: Run) -> None:
    run = finished.folder.root
    found = found_by(run)
    words = search(run).stdout
    assert found["architecture"] in words
    assert "← chosen" in words
    assert "9 candidates ranked" in words
    cheapest = found["front"][0]
    limited = found_by(run, "--max-macs", str(cheapest["macs"]))
    assert limited["architecture"] == cheapest["architecture"]
    assert found_by(run, "--topology", TEXT)["architecture"] == cheapest["architecture"]
    assert found_by(run, "--max-macs", "inf")["architecture"] == found["architecture"]
    retrained = search(run, "--verify", "3", "--verify-iterations", "2").stdout
    assert "3 candidates retrained from scratch, 2 iterations each: Kendall's τ" in retrained


def test_options_that_come_too_late_or_alone(finished: Run) -> None:
    run = finished.folder.root
    with pytest.raises(UserError, match=r"--choose \(random, now evolution\): its ranking stage has begun"):
        search(run, "--choose", "evolution")
    with pytest.raises(UserError, match="give --verify as well"):
        search(run, "--verify-iterations", "5")
    with pytest.raises(UserError, match="not an architecture"):
        search(run, "--topology", "nonsense")
    with pytest.raises(UserError, match="--verify 2: give 3 or more"):
        search(run, "--verify", "2")
