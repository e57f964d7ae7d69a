"""The benchmarks' scripts ask for nothing of c2fnas that is not there; to run them takes hours."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_name_that_a_benchmark_imports_is_there(script: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.ImportFrom)]
    for node in imports:
        if node.module is not None and node.module.startswith("c2fnas"):
            module = import_module(node.module)
            assert not [each.name for each in node.names if not hasattr(module, each.name)], node.module
