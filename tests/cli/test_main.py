"""The command line as a whole: help at once, user errors in one paragraph, exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest


def c2fnas(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "c2fnas", *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize("module", ["c2fnas.cli", "c2fnas", "c2fnas.space.architecture", "c2fnas.search.searcher"])
def test_starting_loads_neither_torch_nor_monai(module: str) -> None:
    heavy = f"import sys, {module}; print(sorted({{'torch', 'monai', 'optuna', 'sklearn'}} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", heavy], text=True).strip() == "[]"


def test_help_lists_every_command_with_examples_in_each() -> None:
    listed = c2fnas("--help").stdout
    for command in ("demo", "check", "prepare", "run", "predict", "evaluate", "describe"):
        assert command in listed
        assert f"c2fnas {command}" in c2fnas(command, "--help").stdout


def test_a_path_without_a_data_set_is_one_paragraph_and_exit_code_2(tmp_path: Path) -> None:
    done = c2fnas("run", tmp_path / "nowhere", "--run", tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_truncated_volume_ends_the_run_before_anything_is_trained(tmp_path: Path) -> None:
    from c2fnas.data.phantoms import write_phantoms

    dataset = write_phantoms(tmp_path / "Task00", cases=5, test_cases=0)
    broken = dataset / "imagesTr" / "phantom_002.nii.gz"
    broken.write_bytes(broken.read_bytes()[:2000])
    done = c2fnas("run", dataset, "--run", tmp_path / "run", "--budget", "demo")
    assert done.returncode == 2
    assert "phantom_002.nii.gz" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "coarse").exists()


def test_a_second_driver_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    from c2fnas.data.phantoms import write_phantoms
    from c2fnas.runs.lock import RunLock

    dataset = write_phantoms(tmp_path / "Task00", cases=5, test_cases=0)
    with RunLock(tmp_path / "run"):
        done = c2fnas("run", dataset, "--run", tmp_path / "run")
    assert done.returncode == 2
    assert "process" in done.stderr
