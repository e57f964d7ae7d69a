"""The comparison with peers: its command line, the code that it ran with, and the examples in its parts."""

import doctest
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from peers_command import command, parsed
from peers_conditions import changed_files, refuse_changed, templates_revision

GROUPED = "(.+)_E[DS]"


def test_the_command_repeats_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peers_command.usable_cores", lambda: 2)
    words = ["Task_Organs", "--name", "six", "--fold-count", "2", "--draw-folds", "--group-by", GROUPED]
    given = parsed("", [*words, "--sides", "c2fnas,nnunet", "--seeds", "3"])
    written = command(given, "c2fnas", {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "HOME": "/x"})
    assert written.startswith(
        "ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 taskset -c 0-1 python benchmarks/peers.py Task_Organs "
    )
    again = parsed("", shlex.split(written)[7:])
    assert vars(again) == vars(given) | {"dataset": Path("Task_Organs"), "sides": "c2fnas"}
    monkeypatch.setattr("peers_command.usable_cores", lambda: 1)
    alone = command(parsed("", ["Task_Organs"]), "nnunet", {})
    expected = "python benchmarks/peers.py Task_Organs --name task_organs --minutes 30 --fold 0 --fold-count 5"
    assert alone == f"taskset -c 0 {expected} --sides nnunet"


def committed(folder: Path) -> Path:
    """A repository with a file of the package, one of a benchmark and one of its results."""
    for name in ("src/a.py", "benchmarks/b.py", "benchmarks/results/c.md", "docs/d.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("as it was\n")
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "core.hooksPath=/dev/null"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def test_code_that_is_not_committed_is_found(tmp_path: Path) -> None:
    root = committed(tmp_path)
    for name in ("benchmarks/results/c.md", "docs/d.md", "src/new.py"):
        (root / name).write_text("changed\n")
    assert changed_files(root) == []
    refuse_changed(root)
    (root / "src/a.py").write_text("changed\n")
    (root / "benchmarks/b.py").write_text("changed\n")
    assert changed_files(root) == ["benchmarks/b.py", "src/a.py"]
    with pytest.raises(SystemExit, match=r"benchmarks/b\.py, src/a\.py: differ from the commit"):
        refuse_changed(root)


def test_templates_are_known_by_commit_and_checksum(tmp_path: Path) -> None:
    clone = committed(tmp_path / "clone")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, capture_output=True, text=True).stdout.strip()
    known = templates_revision(clone, clone / "src")
    assert known["commit"] == head
    assert templates_revision(clone / "src", clone / "src") == known | {"commit": None}  # a folder within a clone
    (clone / "src" / "__pycache__").mkdir()
    (clone / "src" / "__pycache__" / "a.pyc").touch()
    assert templates_revision(clone, clone / "src") == known
    (clone / "src" / "a.py").write_text("changed\n")
    assert templates_revision(clone, clone / "src")["sha256"] != known["sha256"]


def test_an_unknown_side_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("", ["Organs", "--sides", "unet"])
    assert "--sides unet: choose from c2fnas, nnunet" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["peers_answers", "peers_ours", "peers_sides", "nnunet_side", "auto3dseg_side"])
def test_examples_hold(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0
