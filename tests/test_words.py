"""Docstrings say what a caller gets: none begins with a question word."""

import ast
import re
from pathlib import Path

import pytest

import c2fnas

ROOT = Path(c2fnas.__file__).parent
QUESTION = re.compile(r"\s*(What|Whether|How|Where|Which|Why|When|Who)\b")


def texts(source: str) -> list[str]:
    """Every text that stands alone: docstrings of modules, classes and functions, and of the constants above them."""
    nodes = ast.walk(ast.parse(source))
    values = [node.value for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    return [value.value for value in values if isinstance(value.value, str)]


@pytest.mark.parametrize("room", sorted({path.relative_to(ROOT).parts[0] for path in ROOT.rglob("*.py")}))
def test_no_docstring_begins_with_a_question_word(room: str) -> None:
    paths = [ROOT / room] if room.endswith(".py") else (ROOT / room).rglob("*.py")
    asking = [
        (path, text) for path in paths for text in texts(path.read_text(encoding="utf-8")) if QUESTION.match(text)
    ]
    assert not asking
