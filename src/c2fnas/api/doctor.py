"""This machine and what is installed on it, for a bug report."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from c2fnas.errors import UserError


@dataclass(frozen=True)
class Fact:
    """One thing that was found.

    Attributes:
        name: of the thing.
        value: that was found.
        fault: the reason why c2fnas will not work well with it, and the remedy; empty where nothing is wrong.
    """

    name: str
    value: str
    fault: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """The facts about a machine, by subject."""

    subjects: Mapping[str, tuple[Fact, ...]]

    @property
    def warnings(self) -> tuple[str, ...]:
        """The faults, each with its remedy."""
        facts = [fact for subject in self.subjects.values() for fact in subject]
        return tuple(f"{fact.name}: {fact.fault}" for fact in facts if fact.fault)

    @property
    def status(self) -> Literal["fine", "partial"]:
        """ "partial" if anything is wrong."""
        return "partial" if self.warnings else "fine"

    def text(self) -> str:
        """Return a line for each fact, below its subject."""
        width = max(len(fact.name) for subject in self.subjects.values() for fact in subject)
        parts = [
            "\n".join([subject, *(f"  {fact.name:{width}}  {fact.value}" for fact in facts)])
            for subject, facts in self.subjects.items()
        ]
        return "\n\n".join([*parts, "Something is wrong:" if self.warnings else "Nothing is wrong."])

    def to_json(self) -> dict[str, Any]:
        """Return the values by subject and name, and the faults."""
        subjects = {subject: {fact.name: fact.value for fact in facts} for subject, facts in self.subjects.items()}
        return {**subjects, "faults": list(self.warnings)}


def doctor(folder: str | Path = ".") -> Diagnosis:
    """Tell what a bug report needs: versions, devices, memory, precision, compiler, limits, folders to write to.

    Each device computes a step of a small network. Names of users, of this machine and of folders are left out, so
    the text can be posted as it is. The exit code is 1 where something is wrong; each fault comes with a remedy.

    Args:
        folder: The folder that runs are to lie in; it is tried if it can be written to and locked.

    Raises:
        UserError: there is no such folder.

    Examples:
        c2fnas doctor
        c2fnas doctor /shared/runs --json
    """
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no folder. Name the folder that runs are to lie in.")
    from c2fnas.api import installation, machine

    subjects = {
        "versions": installation.versions(),
        "extras": installation.extras(),
        "processor": machine.processor(),
        "devices": machine.devices(),
        "compiler": installation.compilers(),
        "limits": machine.limits(),
        "folders": machine.folders(Path(folder)),
        "environment": machine.environment(),
    }
    return Diagnosis({subject: tuple(map(impersonal, facts)) for subject, facts in subjects.items()})


def impersonal(fact: Fact) -> Fact:
    """Return the fact without this user's folders and names, which a message of a library may hold."""
    return Fact(fact.name, _impersonal(fact.value), _impersonal(fact.fault))


def _impersonal(text: str) -> str:
    import getpass
    import socket

    names = [os.environ.get(name, "") for name in ("HOME", "USER", "LOGNAME")] + [socket.gethostname()]
    with suppress(OSError, KeyError):
        names.append(getpass.getuser())
    for name in sorted((name for name in names if len(name) > 2), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "~", text)
    return re.sub(r"(?<![\w~])/(?:[\w.~-]+/)+[\w.~-]*", "(a path)", text)
