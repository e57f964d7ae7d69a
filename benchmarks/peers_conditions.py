"""Conditions of a training of `peers.py`: those that all trainings of a page share, and the code that it ran with."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from peers_sides import in_our_loop

ROOT = Path(__file__).resolve().parents[1]
VARIABLES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")
"""Environment variables that choose the instructions which PyTorch computes with."""


@dataclass(frozen=True)
class Conditions:
    """The conditions that trainings must share to stand on one page.

    Attributes:
        data_set: its name.
        minutes: of a training.
        fold: that validates.
        fold_count: folds that the cases are divided into.
        drawn: cases, or groups, are drawn at random, not in their order.
        group_by: as `c2fnas run` takes it.
        device: "cpu" or "cuda".
        cores: that the process may use.
        aten_cpu_capability: of PyTorch's own code; None: the machine's.
        onednn_max_cpu_isa: of oneDNN; None: the machine's.
        precision: of sides in c2fnas's loop; None: its own choice.
    """

    data_set: str
    minutes: float
    fold: int
    fold_count: int
    drawn: bool
    group_by: str | None
    device: str
    cores: int
    aten_cpu_capability: str | None
    onednn_max_cpu_isa: str | None
    precision: str | None

    def of(self, side: str) -> dict[str, Any]:
        """Return the conditions of a side as JSON; those in a loop of their own have no precision to choose."""
        known = asdict(self)
        return known if in_our_loop(side) else {name: each for name, each in known.items() if name != "precision"}


def refuse_unlike(kept: Sequence[Mapping[str, Any]], conditions: Conditions, place: Path) -> None:
    """Stop where a kept training does not share the conditions, and name what differs."""
    for each in kept:
        wanted, found = conditions.of(each["side"]), each["asked"]
        differ = [
            f"{name} {found.get(name)}, not {wanted.get(name)}"
            for name in {**wanted, **found}
            if found.get(name) != wanted.get(name)
        ]
        if differ:
            sys.exit(f"{place}: holds trainings of {'; '.join(differ)} ({each['side']}). Choose another --name.")


def usable_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def changed_files(root: Path = ROOT) -> list[str]:
    """Return the tracked files of the package and the benchmarks that differ from the commit; results are no code."""
    places = ["src", "benchmarks", ":(exclude)benchmarks/results"]
    lines = _git(root, "status", "--porcelain", "--untracked-files=no", "--", *places).splitlines()
    return [line[3:] for line in lines]


def refuse_changed(root: Path = ROOT) -> None:
    """Stop where the code is not that of a commit: the page names the commit that a training was made with."""
    if changed := changed_files(root):
        sys.exit(f"{', '.join(changed)}: differ from the commit. Commit them first, or try it out with --try-out.")


def templates_revision(clone: Path, templates: Path) -> dict[str, str | None]:
    """Return the commit of a clone, None where the folder is none, and the checksum of an algorithm's templates."""
    top = _git(clone, "rev-parse", "--show-toplevel").strip() if clone.is_dir() else ""
    own = top != "" and Path(top).resolve() == clone.resolve()
    return {"commit": _git(clone, "rev-parse", "HEAD").strip() if own else None, "sha256": checksum(templates)}


def checksum(folder: Path) -> str:
    """Return the SHA-256 of the files in a folder with their places, but for compiled ones."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return found.hexdigest()


def _git(folder: Path, *command: str) -> str:
    return subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True).stdout
