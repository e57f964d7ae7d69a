"""Ledgers of version 0.1, converted: what was recorded then is read by this version."""

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import yaml

from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.ledger import trials_of
from c2fnas.runs.ranked import RankedPath, read_ranked
from c2fnas.search.successive_halving import RungResult
from c2fnas.space.architecture import Architecture

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "docs" / "results" / "hippocampus"
NETWORK = Architecture.named("c2fnas-panc")


def converted(source: Path, run: Path) -> RunFolder:
    command = [sys.executable, ROOT / "benchmarks" / "convert_0_1_run.py", source, run]
    subprocess.run(list(map(str, command)), check=True)
    return RunFolder(run)


def add(study: optuna.Study, value: float | None, **kept: object) -> None:
    state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
    own = {"architecture": NETWORK.to_json(), "after": 0, "order": 0}
    study.add_trial(optuna.trial.create_trial(state=state, value=value, user_attrs=own | kept))


def test_a_run_is_converted_in_its_place(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    coarse = optuna.create_study(study_name="coarse", storage=url, direction="maximize")
    fine = optuna.create_study(study_name="fine", storage=url, direction="maximize")
    add(coarse, 0.5, rungs=[{"iteration": 5, "score": 0.4, "rank": 1, "among": 2, "continues": True}], cluster=3)
    costs = {"cases": 3, "macs": 7, "parameters": 5, "device": "cpu"}
    add(fine, 0.25, **costs, front=True, latency_ms=1.5, first_rung_dice=0.75, first_rung_cases=1)
    add(fine, None, **costs, front=False, latency_ms=None, reason="not finite")
    for _ in range(2):  # and again, which changes nothing
        folder = converted(tmp_path, tmp_path)
        assert read_ranked(folder) == (
            RankedPath(0, NETWORK, 0.25, 3, 7, 5, True, 0.75, 1, 1.5, "cpu"),
            RankedPath(1, NETWORK, None, 3, 7, 5, device="cpu", reason="not finite"),
        )
        assert trials_of(folder, "fine") == ()
        (trial,) = trials_of(folder, "coarse")
        assert (trial.score, trial.rungs, trial.extra) == (0.5, (RungResult(5, 0.4, 1, 2, True),), {"cluster": 3})


@pytest.mark.long
def test_the_recorded_run_is_read(tmp_path: Path) -> None:
    """The same candidates, to the last bit, as the study has that was recorded."""
    with gzip.open(RECORDED / "study.db.gz") as source, (tmp_path / "study.db").open("wb") as target:
        shutil.copyfileobj(source, target)
    folder = converted(RECORDED, tmp_path / "run")
    shutil.copy(RECORDED / "ranking.json", folder.ranking_file)
    fine = optuna.load_study(study_name="fine", storage=f"sqlite:///{tmp_path / 'study.db'}")
    ranked = read_ranked(folder)
    assert [(each.dice, each.macs, each.cases, each.front) for each in ranked] == [
        (trial.value, *(trial.user_attrs[name] for name in ("macs", "cases", "front"))) for trial in fine.trials
    ]
    assert [each.architecture.to_json() for each in ranked] == [t.user_attrs["architecture"] for t in fine.trials]
    assert len(trials_of(folder, "coarse")) == 50
    config, recorded = RunConfig.load(folder.config), yaml.safe_load((RECORDED / "run.yaml").read_text())
    assert (config.width, config.fine.candidates, config.deployment.folds) == (0.25, 2000, (4,))
    assert config.plan_sha256 == recorded["plan"]
    before = folder.config.read_text()
    assert converted(folder.root, folder.root).config.read_text() == before
