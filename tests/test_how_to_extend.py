"""The how-tos for those who extend the package do what they say: their changes are made in a copy of it, and tried."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from c2fnas.data.phantoms import write_phantoms

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "how-to"
NEW_FILE = re.compile(r'```python title="([^"]+)"\n(.*?)```', re.DOTALL)
CHANGE = re.compile(r"```diff\n(.*?)```", re.DOTALL)


def changed_copy(page: str, folder: Path) -> Path:
    """The package with what ``page`` tells to add; the folder that Python imports it from."""
    text = (PAGES / page).read_text(encoding="utf-8")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for path, content in NEW_FILE.findall(text):
        (folder / path).write_text(content, encoding="utf-8")
    for number, change in enumerate(CHANGE.findall(text)):
        patch = folder / f"{number}.patch"
        patch.write_text(change, encoding="utf-8")
        subprocess.run(["git", "apply", patch.name], cwd=folder, check=True)
    return folder / "src"


def python(source: Path, *arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(source), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")


@pytest.mark.long
def test_an_operation_is_added_in_four_places(tmp_path: Path) -> None:
    source = changed_copy("add-an-operation.md", tmp_path)
    code = (
        "import c2fnas, doctest, sys; assert c2fnas.__file__.startswith(sys.argv[1]); "
        "print(*doctest.testfile(sys.argv[2], module_relative=False, encoding='utf-8'))"
    )
    done = python(source, "-c", code, source, PAGES / "add-an-operation.md")
    examples = (PAGES / "add-an-operation.md").read_text(encoding="utf-8").count(">>> ")
    assert done.stdout.split() == ["0", str(examples)], done.stdout + done.stderr


@pytest.mark.long
def test_a_searcher_is_plugged_in(tmp_path: Path) -> None:
    """Its code is checked and compared as the page says; its commands run with those of the other pages."""
    page = PAGES / "plug-in-a-searcher.md"
    for name, content in NEW_FILE.findall(page.read_text(encoding="utf-8")):
        (tmp_path / name).write_text(content, encoding="utf-8")
    table = ROOT / "benchmarks" / "results" / "topology_table.csv"
    own = "hill_climbing:HillClimbing"
    code = "import doctest, sys; print(*doctest.testfile(sys.argv[1], module_relative=False, encoding='utf-8'))"
    check = "from c2fnas.search.testing import check_searcher; check_searcher('few_clusters:bold')"
    simulate = ("-m", "c2fnas", "simulate", table, "--samplers", f"algorithm1,{own}", "--repetitions", "20", "--json")
    examples = page.read_text(encoding="utf-8").count(">>> ")
    for arguments, printed in (
        (("-c", code, page), f"0 {examples}"),
        (("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_hill_climbing.py"), "7 passed"),
        (("-c", check), ""),
        (simulate, own),
    ):
        done = python(ROOT / "src", *arguments, folder=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert printed in done.stdout


@pytest.mark.long
def test_a_layout_is_added_in_one_file(tmp_path: Path) -> None:
    source = changed_copy("add-a-dataset-layout.md", tmp_path)
    phantoms = write_phantoms(tmp_path / "Task00", cases=5, test_cases=1)
    pairs = tmp_path / "Pairs"
    shutil.copytree(phantoms / "imagesTr", pairs / "images")
    shutil.copytree(phantoms / "imagesTs", pairs / "images", dirs_exist_ok=True)
    shutil.copytree(phantoms / "labelsTr", pairs / "labels")
    (pairs / "classes.txt").write_text("background\norgan\nlesion\n")
    (pairs / "labels" / "phantom_000.nii.gz").write_bytes(b"not a volume")
    done = python(source, "-m", "c2fnas", "check", pairs)
    assert done.returncode == 2, done.stderr
    assert "phantom_000.nii.gz" in done.stdout
    assert "Pairs: 5 training and 1 test cases, 1 error" in done.stdout
    shutil.copy(phantoms / "labelsTr" / "phantom_000.nii.gz", pairs / "labels")
    assert python(source, "-m", "c2fnas", "check", pairs).returncode == 0
    done = python(
        source, "-m", "c2fnas", "prepare", pairs, "--run", tmp_path / "run", "--budget", "demo", "--plan-only"
    )
    assert done.returncode == 0, done.stderr
    assert "organ" in (tmp_path / "run" / "plan.yaml").read_text()
