"""Every symbol that the map from the paper to the code names is there."""

import importlib
import re
from operator import attrgetter

import pytest
from documents import DOCS

NAMES = sorted(set(re.findall(r"`(c2fnas(?:\.\w+)+)`", (DOCS / "paper-map.md").read_text(encoding="utf-8"))))


@pytest.mark.parametrize("name", NAMES)
def test_the_symbol_exists(name: str) -> None:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        if end < len(parts):
            attrgetter(".".join(parts[end:]))(module)
        return
    pytest.fail(f"{name} is no module")
