"""`c2fnas search coarse`, and where the jobs of a run are done."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fine_run import inline
from typer.testing import CliRunner

import c2fnas
from c2fnas.api.jobs import Jobs, executor_factory
from c2fnas.cli import app
from c2fnas.data.phantoms import write_phantoms
from c2fnas.execution import LocalProcessExecutor
from c2fnas.runs.config import CoarseLimits, RunConfig
from c2fnas.runs.ledger import Ledger

TINY = str(Path(__file__).parents[1] / "support" / "tiny.yaml")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coarse")
    dataset = write_phantoms(folder / "Task00", cases=5, test_cases=0)
    c2fnas.prepare(dataset, folder / "run", budget=TINY, devices="cpu")
    return folder / "run"


def coarse(run: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "c2fnas", "search", "coarse", "--run", str(run), *options]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.long
def test_options_are_written_to_the_run_and_fixed_once_it_has_begun(run: Path) -> None:
    done = coarse(run, "--sampler", "random", "--evaluations", "2", "--early-stopping", "--max-memory", "8G", "-q")
    assert done.returncode == 0, done.stderr
    config = RunConfig.load(run / "run.yaml").coarse
    assert (config.sampler, config.evaluations, config.limits.memory) == ("random", 2, 8 * 1024**3)
    assert config.early_stopping is not None
    states = [trial.state for trial in Ledger(run / "study.db", "coarse", read_only=True).trials()]
    assert len(states) == 2
    assert set(states) <= {"succeeded", "stopped"}
    assert "succeeded" in states
    again = coarse(run, "-q")
    assert (again.returncode, again.stdout) == (0, done.stdout)
    other = coarse(run, "--sampler", "tpe", "--max-memory", "inf")
    assert other.returncode == 2
    assert "another --sampler (random, now tpe): its coarse stage has begun with it" in other.stderr
    unlimited = coarse(run, "--max-memory", "inf")
    assert unlimited.returncode == 2
    assert f"another --max-memory ({8 * 1024**3}, now none)" in unlimited.stderr


def test_limits_are_written_to_the_run_and_lifted_by_inf(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, seen = shutil.copytree(run, tmp_path / "run"), list[CoarseLimits]()
    monkeypatch.setattr("c2fnas.execution.LocalProcessExecutor", lambda *_, **options: inline())
    monkeypatch.setattr("c2fnas.stages.pipeline.coarse_stage", lambda run: seen.append(run.config.coarse.limits))
    command = ["search", "coarse", str(again), "--quiet"]
    for options in (["--max-parameters", "20e6", "--max-macs", "5e9", "--max-memory", "8G"], ["--max-macs", "inf"]):
        CliRunner().invoke(app, [*command, *options], catch_exceptions=False)
        assert RunConfig.load(again / "run.yaml").coarse.limits == seen[-1]
    assert [(each.parameters, each.macs, each.memory) for each in seen] == [
        (20_000_000, 5_000_000_000, 8 * 1024**3),
        (20_000_000, None, 8 * 1024**3),
    ]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--sampler", "hill"], "algorithm1, bayesian, bayesian-gp"),
        (["--address", "auto"], "--backend ray"),
        (["--backend", "ray", "--devices", "cpu"], "--backend local"),
        (["--max-memory", "much"], "8G or 500M"),
    ],
)
def test_what_cannot_be_is_said_in_one_paragraph(run: Path, options: list[str], named: str) -> None:
    done = coarse(run, *options)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_run_is_not_made(tmp_path: Path) -> None:
    done = coarse(tmp_path / "nowhere")
    assert done.returncode == 2
    assert f"c2fnas prepare DATASET {tmp_path / 'nowhere'}" in done.stderr
    assert not (tmp_path / "nowhere").exists()


def test_local_jobs_run_on_the_devices_of_the_run_or_on_those_that_are_named() -> None:
    chosen: list[tuple[Jobs, tuple[str, ...]]] = [({}, ("cpu:0", "cpu:1")), ({"devices": "cpu:5"}, ("cpu:5",))]
    for jobs, expected in chosen:
        with executor_factory(jobs)(("cpu:0", "cpu:1")) as executor:
            assert isinstance(executor, LocalProcessExecutor)
            assert executor.devices == expected


@pytest.mark.long
def test_the_coarse_stage_on_a_ray_cluster(ray_alone: None, tmp_path: Path) -> None:
    """A cluster of the command's own: without an address Ray starts one on this machine."""
    pytest.importorskip("ray", reason="needs the extra c2fnas[ray]")
    dataset = write_phantoms(tmp_path / "Task00", cases=5, test_cases=0)
    c2fnas.prepare(dataset, tmp_path / "run", budget=TINY, devices="cpu")
    done = coarse(tmp_path / "run", "--backend", "ray", "-q")
    assert done.returncode == 0, done.stderr
    trials = Ledger(tmp_path / "run" / "study.db", "coarse", read_only=True).trials()
    assert [trial.state for trial in trials] == ["succeeded"] * 3


@pytest.mark.parametrize(("configured", "gpus"), [(("cpu",), None), (("cuda:0", "cuda:1"), 1.0)])
def test_ray_is_told_what_a_job_takes(
    configured: tuple[str, ...], gpus: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was prepared for a GPU asks for one, though the cluster may have none yet."""
    pytest.importorskip("ray", reason="needs the extra c2fnas[ray]")
    asked = list[tuple[object, ...]]()
    monkeypatch.setattr(
        "c2fnas.execution.ray.RayExecutor", lambda address, *, cpus, gpus: asked.append((address, cpus, gpus))
    )
    executor_factory({"backend": "ray", "address": "auto", "cpus_per_job": 3})(configured)
    executor_factory({"backend": "ray"})(configured)
    assert asked == [("auto", 3, gpus), (None, 1, gpus)]
