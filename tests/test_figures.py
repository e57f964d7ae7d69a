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


def test_a_changed_module_is_found(figures: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two modules the second commit of a repository changes one; between HEAD and HEAD nothing has changed."""

    def git(*words: str) -> None:
        nobody = ("-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "core.hooksPath=/dev/null")
        subprocess.run(["git", *nobody, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    for content in ("before", "after"):
        for module in ("networks", "data"):
            (tmp_path / "src/c2fnas" / module).mkdir(parents=True, exist_ok=True)
            (tmp_path / "src/c2fnas" / module / "a.py").write_text(content if module == "networks" else "the same")
        git("add", ".")
        git("commit", "--message", content)
    monkeypatch.setattr(figures, "ROOT", tmp_path)

    def changed(commit: str, *modules: str) -> list[str] | None:
        return figures.changed_since(figures.Figure("x", commit, "c2fnas run", modules))

    assert changed("HEAD~1", "networks", "data") == ["src/c2fnas/networks/a.py"]
    assert changed("HEAD~1", "data") == []
    assert changed("HEAD", "networks") == []
    assert changed("0" * 40, "networks") is None
