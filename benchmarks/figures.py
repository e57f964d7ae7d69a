"""Recorded figures, the commit that each was measured with, and the measured modules that have changed since.

    python benchmarks/figures.py

Reads `benchmarks/figures.yaml`. Figures are remade by the command beside them; then their `commit` is written anew.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
REGISTER = Path(__file__).with_suffix(".yaml")
PLACES = ("benchmarks/results/*.md", "benchmarks/results/*.csv", "docs/results/*.md")
"""The files that hold recorded figures."""


@dataclass(frozen=True)
class Figure:
    """A file of recorded figures.

    Attributes:
        file: relative to the repository.
        commit: of the code that they were measured with.
        command: that made them; its options are in the file.
        modules: files and folders of `src/c2fnas` that they measure.
    """

    file: str
    commit: str
    command: str
    modules: tuple[str, ...]

    @property
    def paths(self) -> list[str]:
        """The modules relative to the repository."""
        return [f"src/c2fnas/{module}" for module in self.modules]


def registered() -> list[Figure]:
    """Return the figures of the register, in its order."""
    content = yaml.safe_load(REGISTER.read_text(encoding="utf-8"))
    return [Figure(file, each["commit"], each["command"], tuple(each["modules"])) for file, each in content.items()]


def changed_since(figure: Figure) -> list[str] | None:
    """Return the measured files that have changed since; None where the history does not reach back to the commit."""
    known = subprocess.run(["git", "cat-file", "-e", f"{figure.commit}^{{commit}}"], cwd=ROOT, capture_output=True)
    if known.returncode:
        return None
    command = ["git", "diff", "--name-only", f"{figure.commit}..HEAD", "--", *figure.paths]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def main() -> None:
    """Print a line a figure."""
    for figure in registered():
        changed = changed_since(figure)
        state = (
            "unknown commit" if changed is None else f"{len(changed)} measured files changed" if changed else "current"
        )
        print(f"{figure.file}: {figure.commit}, {state}; {figure.command}")


if __name__ == "__main__":
    main()
