"""The program as a user calls it, in this process."""

import sys

import pytest

from c2fnas.cli import main


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of a call."""
    monkeypatch.setattr(sys, "argv", ["c2fnas", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)
