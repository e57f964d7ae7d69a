"""`c2fnas prepare`: what its options do to the run folder."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from c2fnas.cli import app
from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import UserError

pytestmark = pytest.mark.usefixtures("fast_steps")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("phantoms") / "data", cases=6, test_cases=0)


def prepare(phantoms: Path, run: Path, *options: str) -> str:
    result = CliRunner().invoke(
        app, ["prepare", str(phantoms), "--run", str(run), "--budget", "demo", "--devices", "cpu", *options]
    )
    if result.exception is not None:
        raise result.exception
    return result.stdout


def folds(run: Path) -> list[list[str]]:
    return [fold["validation"] for fold in json.loads((run / "folds.json").read_text())]


def test_folds_by_number_and_by_chance(phantoms: Path, tmp_path: Path) -> None:
    prepare(phantoms, tmp_path / "a", "--fold-count", "2")
    assert folds(tmp_path / "a") == [[f"phantom_{n:03d}" for n in part] for part in (range(3), range(3, 6))]
    prepare(phantoms, tmp_path / "b", "--folds", "random", "--seed", "5")
    prepare(phantoms, tmp_path / "c", "--folds", "random", "--seed", "5")
    prepare(phantoms, tmp_path / "d", "--folds", "random", "--seed", "6")
    assert folds(tmp_path / "b") == folds(tmp_path / "c") != folds(tmp_path / "d")
    prepare(phantoms, tmp_path / "a", "--fold-count", "3")
    (tmp_path / "a" / "coarse").mkdir()  # the search has begun
    with pytest.raises(UserError, match=r"another --folds .*, --fold-count"):
        prepare(phantoms, tmp_path / "a", "--fold-count", "2")


def test_a_group_in_a_single_fold(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 group can't be divided"):
        prepare(phantoms, tmp_path / "run", "--group-by", "(phantom)")
    assert not (tmp_path / "run" / "fingerprint.json").exists()  # refused before anything was read


def test_plan_only(phantoms: Path, tmp_path: Path) -> None:
    assert "plan.yaml" in prepare(phantoms, tmp_path / "run", "--plan-only")
    assert not (tmp_path / "run" / "cache").exists()
    prepare(phantoms, tmp_path / "run", "--plan-only", "--folds", "random", "--fold-count", "3")
    assert [len(validation) for validation in folds(tmp_path / "run")] == [2, 2, 2]


def test_it_says_what_the_run_will_do_and_notes_the_time_it_took(phantoms: Path, tmp_path: Path) -> None:
    command = ["prepare", str(phantoms), "--run", str(tmp_path / "run"), "--budget", "demo", "--devices", "cpu"]
    told = CliRunner().invoke(app, command).output
    for row in ("until now", "deployment", "together"):
        assert f"  {row} " in told
    assert not list((tmp_path / "run").glob("final/fold-*"))
    spent = json.loads((tmp_path / "run" / "spent.json").read_text())
    assert 0 < spent["preparation"] <= spent["seconds"]


def test_without_a_time_it_foresees_none(phantoms: Path, tmp_path: Path) -> None:
    told = prepare(phantoms, tmp_path / "run", "--budget", "paper", "--set", "width=0.0625")
    assert "together" not in told
    assert not (tmp_path / "run" / "timings.json").exists()


def test_of_a_run_that_is_trained_it_foresees_nothing(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["prepare", str(phantoms), "--run", str(tmp_path / "run"), "--budget", "demo", "--devices", "cpu"]
    assert "  together " in CliRunner().invoke(app, command).output
    monkeypatch.setattr("c2fnas.stages.deployment.is_deployed", lambda run: True)
    assert "  together " not in CliRunner().invoke(app, command).output
