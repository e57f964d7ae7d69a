"""Completion: what a shell offers for runs, models, architectures, budgets and fields, asked as bash asks."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from c2fnas.cli import completion
from c2fnas.planning.presets import BUDGETS


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs, one of them deep, beside what is none."""
    for name in ("runs/hippocampus", "runs/of-others/pancreas", "runs/notes", ".hidden/run"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("runs/hippocampus", "runs/of-others/pancreas", ".hidden/run"):
        (tmp_path / name / "run.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


SHELL = """
import contextlib, io, json, os, sys
from c2fnas.cli import main
answers = []
for line in json.load(sys.stdin):
    words = line.split()
    place = len(words) if line.endswith(" ") else len(words) - 1
    os.environ |= {"_C2FNAS_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(place)}
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        main()
    answers.append(shown.getvalue().split())
print(json.dumps(answers))
"""
OFFERED = {
    "c2fnas ver": ["verdict"],
    "c2fnas search co": ["coarse"],
    "c2fnas verdict --rep": ["--replicates"],
    "c2fnas verdict ": ["runs/hippocampus", "runs/of-others/pancreas"],
    "c2fnas verdict runs/h": ["runs/hippocampus"],
    "c2fnas run Task04 new --budget ": list(BUDGETS),
    "c2fnas describe c2": ["c2fnas-panc"],
    "c2fnas predict h": ["hippocampus"],
    "c2fnas export x --format o": ["onnx"],
    "c2fnas search coarse x --sampler optuna": ["optuna-random"],
    "c2fnas run Task04 new --set coarse.ev": ["coarse.evaluations="],
}


def test_a_shell_is_offered_what_fits_at_the_end_of_each_line() -> None:
    """One process answers all that bash would ask of a process each; the test below asks as bash does."""
    asked = {"input": json.dumps([*OFFERED]), "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", SHELL], **asked)
    assert done.stderr == ""
    assert dict(zip(OFFERED, json.loads(done.stdout), strict=True)) == OFFERED


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_with_the_script_that_is_installed(folder: Path) -> None:
    (folder / "bin").mkdir()
    program = folder / "bin" / "c2fnas"
    program.write_text(f"#!{sys.executable}\nfrom c2fnas.cli import main\nmain()\n")
    program.chmod(0o755)
    script = """
    eval "$(_C2FNAS_COMPLETE=source_bash c2fnas)"
    COMP_WORDS=(c2fnas report runs/of); COMP_CWORD=2
    _c2fnas_completion c2fnas; echo "${COMPREPLY[@]}"
    """
    paths = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "--norc", "-c", script], env=os.environ | paths, capture_output=True, text=True)
    assert done.stdout.split() == ["runs/of-others/pancreas"], done.stderr


def test_what_was_typed_stays_as_it_is(folder: Path) -> None:
    assert completion.runs("./runs/h") == ["./runs/hippocampus"]
    assert completion.runs(f"{folder}/runs/h") == [f"{folder}/runs/hippocampus"]
    assert completion.runs("nowhere/") == []
    assert completion.samplers("tpe,ran") == ["tpe,random"]
    assert completion.sources("") == ["hippocampus", "runs/hippocampus", "runs/of-others/pancreas", "c2fnas-panc"]


def test_completion_imports_no_torch() -> None:
    calls = "; ".join(f"completion.{each.__name__}('')" for each in {*completion.COMPLETERS.values()})
    script = f"import sys\nfrom c2fnas.cli import completion\n{calls}\nprint('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "False"
