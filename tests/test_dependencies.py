"""What the package imports is what installing it brings; the environment of the tests has more."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEVELOPMENT = {"dev", "docs"}
ELSEWHERE = {"nnunetv2"}
"""Imported by what is exported, where that runs."""


def imports(file: Path) -> set[str]:
    """The packages that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"c2fnas"}


def normal(requirement: str) -> str:
    """The name of a requirement as package indexes spell it."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def declared() -> set[str]:
    """What the package and its extras for users require."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [each for name, each in project["optional-dependencies"].items() if name not in DEVELOPMENT]
    return {normal(requirement) for each in (project["dependencies"], *extras) for requirement in each}


def test_every_import_is_a_declared_requirement() -> None:
    used = set().union(*map(imports, (ROOT / "src").rglob("*.py"))) - ELSEWHERE
    providers = packages_distributions()
    assert {"torch", "numpy", "pydantic"} <= used
    missing = {name for name in used if not declared() & {normal(each) for each in providers.get(name, [name])}}
    assert missing == set()
