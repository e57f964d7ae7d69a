"""The table of a configuration's fields holds what `--set` takes, and nothing else."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
from documents import DOCS

from c2fnas.errors import UserError
from c2fnas.runs.overrides import DERIVED, OPTIONS, parse_overrides


@pytest.fixture(scope="module")
def page() -> Any:
    sys.path.insert(0, str(DOCS))
    yield import_module("fields")
    sys.path.remove(str(DOCS))


def test_every_field_has_a_unit_and_a_meaning_and_is_there_once(page: ModuleType) -> None:
    shown = [name for _, name in page.described()]
    assert len({*shown}) == len(shown) > 60
    assert {*shown} == {*page.MEANINGS}


def test_what_is_listed_can_be_set(page: ModuleType) -> None:
    for name in page.settable():
        assert parse_overrides({name: None}) == {name: None}


def test_what_a_run_fills_in_by_itself_is_not_listed(page: ModuleType) -> None:
    listed = {*page.settable()}
    for name in (*DERIVED, *OPTIONS, "coarse", "coarse.recipe"):
        assert name not in listed
        with pytest.raises(UserError):
            parse_overrides({name: None})


def test_a_row_says_what_a_field_takes(page: ModuleType) -> None:
    rows = page.table().splitlines()
    assert rows[0].count("|") == 6
    assert all(row.count("|") == 6 for row in rows)
    assert [row for row in rows if row.startswith("| `margin` | a number above 0 and below 1 | `0.01` | Dice |")]
    assert [
        row
        for row in rows
        if row.startswith("| `plan.patch_size` | 3 whole numbers above 0 or null | `null` | voxels |")
    ]
    assert [row for row in rows if row.startswith("| `STAGE.recipe.name` | paper or modern |")]
