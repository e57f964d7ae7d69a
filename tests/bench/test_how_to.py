"""The pages of the table do what they say: Python gives what it shows, and commands run with nothing but c2fnas."""

import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest
from documents import DOCS, commands

PAGE = DOCS / "how-to" / "query-the-table.md"


@pytest.mark.parametrize("page", [PAGE, DOCS / "results" / "simulation.md"], ids=lambda page: page.stem)
def test_its_python_gives_what_it_shows(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS.parent)
    found = doctest.testfile(str(page), module_relative=False, encoding="utf-8", optionflags=doctest.ELLIPSIS)
    assert found.failed == 0
    assert found.attempted == page.read_text(encoding="utf-8").count(">>> ")


@pytest.mark.long
def test_its_commands_run(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = commands(PAGE)
    assert found
    for block in found:
        subprocess.run(["bash", "-euc", block], cwd=tmp_path, env=os.environ | {"PATH": path}, check=True)
    assert (tmp_path / "simulation.png").stat().st_size > 0


@pytest.mark.parametrize(("measured", "name"), [("topology_table", "hippocampus"), ("heart_table", "heart")])
@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_the_measured_files_are_those_that_are_shipped(measured: str, name: str, suffix: str) -> None:
    beside = DOCS.parent / "benchmarks" / "results" / f"{measured}{suffix}"
    assert beside.resolve() == DOCS.parent / "src" / "c2fnas" / "bench" / f"{name}{suffix}"
