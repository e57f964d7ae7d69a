"""The verdict of a run, where one was made: whether the search was worth it, in a sentence."""

from typing import Any

from c2fnas.files import read_json
from c2fnas.runs.folder import RunFolder


def read_verdict(folder: RunFolder) -> dict[str, Any] | None:
    """What ``verdict/verdict.json`` says; None where no verdict was made."""
    return read_json(folder.verdict_file) if folder.verdict_file.exists() else None
