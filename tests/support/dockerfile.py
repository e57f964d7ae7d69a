"""The Dockerfile read in instructions, and its RUN lines executed without Docker, in a folder instead of its root."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import NamedTuple

from documents import ROOT

DOCKERFILE = ROOT / "Dockerfile"
PLACES = ("/opt", "/src", "/data")
"""What lies in the folder instead of in the root of this machine."""


class Instruction(NamedTuple):
    """An instruction of a Dockerfile: its name in capitals, and the rest of its lines as one."""

    name: str
    rest: str


def instructions(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile, in order."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    whole = re.sub(r"\\\n\s*", "", lines)
    parts = (line.split(maxsplit=1) for line in whole.splitlines() if line.strip())
    return [Instruction(name.upper(), rest.strip()) for name, rest in parts]


def execute(root: Path, python: str, arguments: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Execute the RUN lines of all stages below ``root``; yields each with what it has printed.

    Args:
        root: An empty folder.
        python: The interpreter that the base image would have.
        arguments: As of ``docker build --build-arg``.
    """
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "python").symlink_to(python)
    base = {"PATH": f"{root / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"}
    base |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
    variables, folder = dict(base), root
    for name, rest in instructions(DOCKERFILE.read_text(encoding="utf-8")):
        rest = _below(root, rest)
        if name == "FROM":
            variables, folder = dict(base), root
        elif name in ("ARG", "ENV"):
            for key, value in re.findall(r"(\w+)=(\S+)", rest):
                whole = Template(value).safe_substitute(variables)
                variables[key] = arguments.get(key, whole) if name == "ARG" else whole
        elif name == "WORKDIR":
            folder = Path(rest)
            folder.mkdir(parents=True, exist_ok=True)
        elif name == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            for source in sources:
                _copy(ROOT / source, folder / target / (source if target == "./" else ""))
        elif name == "RUN":
            done = subprocess.run(["sh", "-ec", rest], cwd=folder, env=variables, capture_output=True, text=True)
            assert done.returncode == 0, f"{rest}\n{done.stdout}\n{done.stderr}"
            yield rest, done.stdout


def _below(root: Path, text: str) -> str:
    return re.sub(rf"(?<![\w.])({'|'.join(PLACES)})(?![\w.])", lambda found: f"{root}{found[1]}", text)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copy(source, target)
