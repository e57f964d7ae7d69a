"""Problems of the files of a data set, as values that can be listed and as errors that can be raised."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

from c2fnas.errors import UserError
from c2fnas.text import some

Severity = Literal["error", "warning"]

SHOWN = 5
"""Files that a line on several problems names."""

SHOWN_FOUND = 3
"""Findings that it names in full."""

OWN = re.compile(r"\S+\.(nii(\.gz)?|nrrd|nhdr|mha|mhd)\b|\d[\d.,×]*", re.IGNORECASE)
"""File names and numbers in a text, in which problems of one kind differ."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with a file, before it is known whose file it is."""

    found: str
    expected: str
    fix: str
    severity: Severity = "error"

    @property
    def text(self) -> str:
        """The finding as sentences."""
        return f"found {self.found}, expected {self.expected}. {self.fix}"


@dataclass(frozen=True)
class Problem:
    """Something wrong with a case. ``case`` is empty where the data set as a whole is meant."""

    case: str
    file: str
    found: str
    expected: str
    fix: str
    severity: Severity = "error"

    @classmethod
    def of(cls, finding: Finding, case: str, file: object) -> Self:
        """Return the problem that ``finding`` is for a case's file."""
        return cls(case, str(file), finding.found, finding.expected, finding.fix, finding.severity)

    @classmethod
    def warning(cls, file: object, found: str, expected: str, fix: str) -> Self:
        """Return a warning about a data set as a whole, or about a file of it."""
        return cls("", str(file), found, expected, fix, "warning")

    @property
    def place(self) -> str:
        """The file, with the case where the file's name doesn't tell it: an entry of a manifest, say."""
        name, end = Path(self.file).name, len(self.case)
        told = name.startswith(self.case) and not name[end : end + 1].isalnum()
        return self.file if told or not self.case else f"{self.file} ({self.case})"

    @property
    def text(self) -> str:
        """The problem in a line."""
        return f"{self.place}: {self.finding.text}"

    @property
    def finding(self) -> Finding:
        """The problem without its place."""
        return Finding(self.found, self.expected, self.fix, self.severity)

    def to_json(self) -> dict[str, str]:
        """Return the problem as JSON, with every field."""
        return asdict(self)


class CaseError(UserError):
    """A case that can't be read: what was found in which file, what was expected, and the fix."""

    def __init__(self, case: str, file: object, found: str, expected: str, fix: str) -> None:
        self.case, self.file, self.found, self.expected, self.fix = case, str(file), found, expected, fix
        of_case = f" (case {case})" if case else ""
        super().__init__(f"{file}{of_case}: found {found}, expected {expected}. {fix}")

    @classmethod
    def of(cls, finding: Finding, case: str, file: object) -> Self:
        """Return the error that ``finding`` is for a case's file."""
        return cls(case, file, finding.found, finding.expected, finding.fix)

    @property
    def problem(self) -> Problem:
        """The error as a value."""
        return Problem(self.case, self.file, self.found, self.expected, self.fix)

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        # Worker processes send errors by pickle, which would otherwise rebuild this one from its message alone.
        return type(self), (self.case, self.file, self.found, self.expected, self.fix)


def lines(problems: Iterable[Problem]) -> list[str]:
    """Return a line for each kind of problem, whatever the number of its cases.

    >>> parts = [Problem(case, f"{case}.mha", f"size {n}", "9", "Crop it.") for n, case in enumerate("abcdefg")]
    >>> lines(parts)
    ['error: a.mha, b.mha, c.mha, d.mha, e.mha and 2 more: found size 0, and 6 more of this kind, expected 9. Crop it.']
    """
    kinds: dict[tuple[str, ...], list[Problem]] = {}
    for each in problems:
        key = (OWN.sub("#", text) for text in (each.found, each.expected, each.fix))
        kinds.setdefault((each.severity, *key), []).append(each)
    return [f"{each[0].severity}: {_places(each)}: {_together(each)}" for each in kinds.values()]


def _together(problems: list[Problem]) -> str:
    first, found = problems[0], list(dict.fromkeys(each.found for each in problems))
    shown = "; ".join(found) if len(found) <= SHOWN_FOUND else f"{found[0]}, and {len(found) - 1} more of this kind"
    return f"found {shown}, expected {first.expected}. {first.fix}"


def _places(problems: list[Problem]) -> str:
    """The places, each once; entries of one file behind its name."""
    files = list(dict.fromkeys(each.file for each in problems))
    names = list(dict.fromkeys(each.place for each in problems))
    if len(files) == 1 and len(names) > 1:
        return f"{files[0]} ({some(list(dict.fromkeys(each.case for each in problems)), SHOWN)})"
    return some(names, SHOWN)
