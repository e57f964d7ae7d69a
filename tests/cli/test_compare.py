"""`c2fnas compare`: Table 2; its keys are an interface."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from c2fnas.cli import app
from c2fnas.errors import UserError


def compared(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["compare", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def rows(*arguments: str) -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(compared("--json", *arguments))["networks"]}


def test_every_network_of_table_2_is_within_what_is_printed() -> None:
    printed = {
        "unet3d": (19.07, 825.30), "vnet": (45.59, 301.88), "voxresnet": (6.92, 173.02), "resdsn": (10.03, 188.37),
        "attention_unet": (103.88, 1162.75), "c2fnas_panc": (17.02, 150.78),
    }  # fmt: skip
    table = rows()
    assert list(table) == list(printed)
    for name, (parameters, macs) in printed.items():
        row = table[name]
        assert set(row) == {"name", "title", "parameters", "macs", "paper_parameters", "paper_macs", "note"}
        assert (row["paper_parameters"], row["paper_macs"]) == (round(parameters * 1e6), round(macs * 1e9))
        assert row["note"]
        assert row["parameters"] == pytest.approx(parameters * 1e6, rel=0.04 if name == "c2fnas_panc" else 0.02)
        assert row["macs"] == pytest.approx(macs * 1e9, rel=0.03)


def test_another_input_has_no_printed_figure_to_compare_with() -> None:
    small, full = rows("--input", "48", "48", "48"), rows()
    for name, row in small.items():
        assert row["paper_macs"] is None
        assert row["parameters"] == full[name]["parameters"]
        assert row["macs"] * 8 == full[name]["macs"]


def test_channels_and_classes_count() -> None:
    more, plain = rows("--channels", "4", "--classes", "5"), rows()
    assert all(row["parameters"] > plain[name]["parameters"] for name, row in more.items())


def test_the_printed_table_has_both_figures() -> None:
    text = compared()
    assert "103.88" in text
    assert "1162.75" in text
    assert "C2FNAS-Panc" in text


def test_no_empty_side() -> None:
    with pytest.raises(UserError, match="every side"):
        CliRunner().invoke(app, ["compare", "--input", "0", "9", "9"], catch_exceptions=False)
