"""Problems of the files of a data set, as values that can be listed and as errors that can be raised."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

from c2fnas.errors import UserError

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """Something wrong with a file, before it is known whose file it is."""

    found: str
    expected: str
    fix: str
    severity: Severity = "error"


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

    @property
    def place(self) -> str:
        """The file, with the case where the file's name doesn't tell it: an entry of a manifest, say."""
        name, end = Path(self.file).name, len(self.case)
        told = name.startswith(self.case) and not name[end : end + 1].isalnum()
        return self.file if told or not self.case else f"{self.file} ({self.case})"

    @property
    def text(self) -> str:
        """The problem in a line."""
        return f"{self.place}: found {self.found}, expected {self.expected}. {self.fix}"

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
