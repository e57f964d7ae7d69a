"""The files of a run."""

from pathlib import Path

import pytest

from c2fnas.runs.folder import RunFolder


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("config", "run.yaml"),
        ("budget", "budget.yaml"),
        ("plan", "plan.yaml"),
        ("fingerprint", "fingerprint.json"),
        ("folds", "folds.json"),
        ("study", "study.db"),
        ("cache", "cache"),
        ("coarse", "coarse"),
        ("fine", "fine"),
        ("supernet", "fine/supernet"),
        ("scale", "scale"),
        ("final", "final"),
        ("report", "report"),
        ("stop", "stop"),
    ],
)
def test_names(tmp_path: Path, name: str, path: str) -> None:
    assert getattr(RunFolder(tmp_path), name) == tmp_path / path


def test_numbered_folders() -> None:
    run = RunFolder("run")  # type: ignore[arg-type]  # a string does as well
    assert run.coarse_trial(12) == Path("run/coarse/0012")
    assert run.reference("dynunet", 1) == Path("run/verdict/dynunet/fold-1")
    assert run.reference("dynunet", 1, 2) == Path("run/verdict/dynunet/fold-1-seed-2")
    assert run.final_fold(0) == Path("run/final/fold-0")


def test_a_stop_is_asked_for_by_a_file(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.clear_stop()
    assert not run.stop_requested
    run.stop.touch()
    assert run.stop_requested
    run.clear_stop()
    assert not run.stop_requested
