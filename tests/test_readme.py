"""The README does what it says: its commands run, in order, and its Python examples are true."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


def test_the_python_examples_are_true() -> None:
    outcome = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert outcome.attempted >= 5
    assert outcome.failed == 0


def test_the_drawing_is_what_the_command_draws() -> None:
    from c2fnas.space.architecture import Architecture
    from c2fnas.space.drawing import draw_text

    assert draw_text(Architecture.named("c2fnas-panc")).rstrip() in README


def test_local_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / link).exists(), link


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_the_commands_run(tmp_path: Path) -> None:
    assert len(COMMANDS) >= 5
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for command in COMMANDS:
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "scores.json").exists()
