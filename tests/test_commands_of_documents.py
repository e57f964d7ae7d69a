"""README, tutorial and how-tos do what they say: commands and Python run, in order, on phantoms and one run folder."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from documents import ALL, DOCS, NOT_RUN, PAGES, README, SHELL, blocks, calls, commands, files
from typer import Exit
from typer.main import get_command

from c2fnas.cli import app
from c2fnas.data.phantoms import write_phantoms

ON_THE_DEMO = [page for page in PAGES if page != README and commands(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_not_run_says_why(page: Path) -> None:
    for block in blocks(page):
        if block.language in SHELL and block.language != "bash":
            assert block.language == "sh", f"a block of commands is ```bash, or ```sh with a reason:\n{block.text}"
            assert NOT_RUN.fullmatch(block.before), f"why is this not run?\n{block.text}"


CALLING = [page for page in ALL if calls(page)]


@pytest.mark.parametrize("page", CALLING, ids=lambda page: page.stem)
def test_every_call_has_todays_form(page: Path) -> None:
    """Also where it is not run: the command is there, and takes these options."""
    for words in calls(page):
        assert "--run" not in words, "the form of version 0.1.0"
        command: Any = get_command(app)
        names = iter(words)
        for name in names:
            if name.startswith("-"):
                break
            assert name in command.commands, f"{page}: c2fnas {' '.join(words)}"
            command = command.commands[name]
            if not hasattr(command, "commands"):
                with suppress(Exit):  # --help
                    command.make_context(name, list(names))
                break


def test_results_are_among_them() -> None:
    assert {"README", "tutorial", "export", "hippocampus", "tables-1-3-4", "simulation"} <= {p.stem for p in CALLING}


def run(command: str, folder: Path) -> str:
    """Run a block as a reader would, in the environment that the tests run in; what it prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the README's commands have run; its phantoms and its run bear the names that the other pages use."""
    folder = tmp_path_factory.mktemp("reader")
    for block in commands(README):
        # The verdict trains two networks more and has a test of its own.
        run(block.replace("c2fnas demo", "c2fnas demo --no-verdict"), folder)
    (folder / "Task04_Hippocampus").symlink_to("c2fnas-demo/Task00_Phantoms")
    (folder / "runs").mkdir()
    (folder / "runs" / "hippocampus").symlink_to("../c2fnas-demo/run")
    write_phantoms(folder / "Task09_Spleen", cases=5, test_cases=1, seed=9)
    return folder


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_the_commands_of_the_readme_run(demo: Path) -> None:
    assert (demo / "scores.json").exists()
    assert len("\n".join(commands(README)).splitlines()) >= 5


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("page", ON_THE_DEMO, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(demo: Path, page: Path) -> None:
    for name, text in files(page).items():
        (demo / name).write_text(text, encoding="utf-8")
    for block in commands(page):
        run(block, demo)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_the_tutorial_evaluates_what_the_run_has_evaluated(demo: Path) -> None:
    """Two ways to the same figure: the run's own, and files predicted and compared."""
    evaluating = [block for block in commands(DOCS / "tutorial.md") if "c2fnas evaluate" in block]
    assert len(evaluating) == 1
    run(evaluating[0], demo)
    files = json.loads((demo / "scores.json").read_text())
    own = json.loads((demo / "runs/hippocampus/final/fold-0/evaluation.json").read_text())
    assert files["mean"] == pytest.approx(own["mean"], abs=1e-3)
