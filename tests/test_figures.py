"""Every file of recorded figures names the commit it was made with; those that have grown old are listed."""

import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("figures", ROOT / "benchmarks" / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["figures"] = module
    spec.loader.exec_module(module)
    return module


def test_every_file_of_figures_is_registered(figures: ModuleType) -> None:
    there = {str(path.relative_to(ROOT)) for place in figures.PLACES for path in ROOT.glob(place)}
    assert {figure.file for figure in figures.registered()} == there


def test_what_the_register_names_is_there(figures: ModuleType) -> None:
    for figure in figures.registered():
        assert all((ROOT / path).exists() for path in figure.paths), figure
        tool, *words = figure.command.split()
        assert (ROOT / words[0]).is_file() if tool == "python" else tool == "c2fnas", figure


def test_old_figures_are_listed(figures: ModuleType) -> None:
    """A figure of changed code is no failure: it is told, and remade when its hour comes."""
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True).returncode:
        pytest.skip("no git history is at hand")
    changed = {figure.file: figures.changed_since(figure) for figure in figures.registered()}
    unknown = [file for file, files in changed.items() if files is None]
    shallow = (ROOT / ".git" / "shallow").exists()
    assert shallow or not unknown
    if old := [file for file, files in changed.items() if files]:
        warnings.warn(f"measured with other code: {', '.join(old)}; see `python benchmarks/figures.py`", stacklevel=1)


def test_a_changed_module_is_found(figures: ModuleType) -> None:
    """Between the last two commits that touched a module, it has changed; between HEAD and HEAD nothing has."""
    run = subprocess.run(
        ["git", "log", "-2", "--format=%H", "--", "src/c2fnas/networks"], cwd=ROOT, capture_output=True, text=True
    )
    commits = run.stdout.split()
    if len(commits) < 2:
        pytest.skip("no git history is at hand")
    figure = figures.Figure("x", commits[1], "c2fnas run", ("networks",))
    assert figures.changed_since(figure)
    assert figures.changed_since(figures.Figure("x", "HEAD", "c2fnas run", ("networks",))) == []
    assert figures.changed_since(figures.Figure("x", "0" * 40, "c2fnas run", ("networks",))) is None
