"""Every stage, chained: what a run leaves, that it can be called again, stopped, moved and killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import Interrupted, UserError
from c2fnas.execution import InlineExecutor
from c2fnas.files import sha256
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.records.ranked import read_ranked
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages.pipeline import Result, run_pipeline

TINY = str(Path(__file__).parents[1] / "support" / "tiny.yaml")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("data") / "Task00", cases=5, test_cases=1)


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    run = tmp_path_factory.mktemp("runs") / "straight"
    return run, pipeline(dataset, run)


def pipeline(
    dataset: Path, run: Path, seed: int | None = None, budget: str | None = TINY, reporter: Silent | None = None
) -> Result:
    return run_pipeline(
        Run(run, reporter=reporter),
        dataset,
        lambda devices: InlineExecutor(devices[0]),
        budget=budget,
        overrides={} if seed is None else {"seed": seed},
        devices=("cpu",),
    )


def test_a_search_that_nothing_can_be_compared_by_is_refused_before_it_trains(tmp_path: Path) -> None:
    dataset = write_phantoms(tmp_path / "Task00", cases=5, test_cases=0)
    last = max((dataset / "labelsTr").iterdir())
    label = nib.load(last)
    nib.save(nib.Nifti1Image(np.zeros(label.shape, np.uint8), label.affine), last)
    with pytest.raises(UserError, match=r"no validation case shows any foreground class .* other folds"):
        pipeline(dataset, tmp_path / "run")
    assert not (tmp_path / "run" / "coarse").exists()  # so that other folds may still be given


class Sayings(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def say(self, text: str) -> None:
        self.texts.append(text)


class StopsAt(Silent):
    """A user who leaves a stop file when a stage begins."""

    def __init__(self, run: Path, stage: str) -> None:
        self.run, self.stage = run, stage

    def start(self, stage: str, total: float) -> None:
        if stage == self.stage:
            (self.run / "stop").touch()


def results(run: Path) -> dict[str, object]:
    """All that a run has found, to the last bit."""
    return {
        "coarse": [(t.architecture, t.score) for t in Ledger(run / "study.db", "coarse", read_only=True).trials()],
        "fine": [(each.architecture, each.dice) for each in read_ranked(RunFolder(run))],
        "found": json.loads((run / "fine" / "architecture.json").read_text()),
        "weights": sha256(run / "final" / "fold-4" / "model" / "weights.safetensors"),
        "evaluation": json.loads((run / "final" / "fold-4" / "evaluation.json").read_text()),
    }


def test_a_run_leaves_what_it_promises(finished: tuple[Path, Result]) -> None:
    run, result = finished
    coarse = Ledger(run / "study.db", "coarse", read_only=True).trials()
    assert [trial.state for trial in coarse] == ["succeeded"] * 3
    assert len({trial.architecture.topology for trial in coarse}) == 3
    best = max(coarse, key=lambda trial: trial.score or 0)
    assert result.deployed.design.topology == best.architecture.topology
    ranked = read_ranked(RunFolder(run))
    assert len({each.architecture for each in ranked}) == 6
    best = max(ranked, key=lambda each: (each.cases, each.dice or 0, -each.number))
    assert best.architecture == result.deployed.design == Architecture.load(run)
    assert [model.is_dir() for model in result.deployed.models] == [True]
    assert 0 <= result.deployed.evaluations[0].mean <= 1


def test_search_and_deployment_share_width_and_patch(finished: tuple[Path, Result]) -> None:
    run, result = finished
    candidates = [*Ledger(run / "study.db", "coarse").trials(), *read_ranked(RunFolder(run))]
    widths = {each.architecture.width for each in candidates}
    assert widths == {result.deployed.design.width} == {0.125}


def test_a_finished_run_is_not_run_again(dataset: Path, finished: tuple[Path, Result]) -> None:
    run, result = finished
    before = results(run)
    said = Sayings()
    assert pipeline(dataset, run, reporter=said) == result
    assert results(run) == before
    assert any("finished already" in text for text in said.texts)
    assert not any("together" in text for text in said.texts)  # no forecast of what won't be done


@pytest.mark.exact
@pytest.mark.parametrize("stage", ["coarse", "ranking"])
def test_stopped_and_carried_on_equals_uninterrupted(
    stage: str, dataset: Path, finished: tuple[Path, Result], tmp_path: Path
) -> None:
    with pytest.raises(Interrupted, match="carry on"):
        pipeline(dataset, tmp_path / "run", reporter=StopsAt(tmp_path / "run", stage))
    assert not (tmp_path / "run" / "final").exists()
    moved = shutil.move(tmp_path / "run", tmp_path / "elsewhere")
    pipeline(dataset, Path(moved), budget=None)  # options left out are as it was started
    assert results(Path(moved)) == results(finished[0])


def test_another_seed_budget_or_data_set_is_refused(
    dataset: Path, finished: tuple[Path, Result], tmp_path: Path
) -> None:
    run, _ = finished
    with pytest.raises(UserError, match="--seed"):
        pipeline(dataset, run, seed=1)
    with pytest.raises(UserError, match="--budget"):
        pipeline(dataset, run, budget="demo")
    other = write_phantoms(tmp_path / "Task01", cases=5, test_cases=0, seed=3)
    with pytest.raises(UserError, match="another data set"):
        pipeline(other, run)
    assert results(run)["found"]


def test_an_unknown_budget_names_the_known_ones(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="demo, hour, day, paper"):
        pipeline(dataset, tmp_path / "run", budget="week")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_killed_anywhere_it_carries_on_to_the_same_bits(dataset: Path, tmp_path: Path) -> None:
    """Driver and workers in processes of their own, with as many threads in each; the driver is killed three times."""
    run, straight = tmp_path / "killed", tmp_path / "straight"
    assert _driver(dataset, straight).wait(900) == 0, (tmp_path / "log").read_text()
    for sign in ("coarse/0001/metrics.jsonl", "fine/supernet/job.json", "final/fold-4/metrics.jsonl"):
        driver = _driver(dataset, run)
        _wait_for(run / sign, driver)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    last = _driver(dataset, run)
    assert last.wait(900) == 0, (tmp_path / "log").read_text()
    assert results(run) == results(straight)


def _driver(dataset: Path, run: Path) -> subprocess.Popen:
    command = ["-m", "c2fnas", "run", str(dataset), "--run", str(run), "--budget", TINY, "--devices", "cpu"]
    with (run.parent / "log").open("ab") as log:
        return subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)


def _wait_for(path: Path, driver: subprocess.Popen, seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert driver.poll() is None, (path, driver.returncode)
        assert time.monotonic() < end, path
        time.sleep(0.02)
