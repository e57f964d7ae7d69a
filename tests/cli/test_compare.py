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
        "unet3d": (19.07, 825.30),
        "vnet": (45.59, 301.88),
        "voxresnet": (6.92, 173.02),
        "resdsn": (10.03, 188.37),
        "attention_unet": (103.88, 1162.75),
        "c2fnas_panc": (17.02, 150.78),
    }
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
        assert (row["paper_macs"], row["note"]) == (None, None)
        assert row["paper_parameters"] == full[name]["paper_parameters"]
        assert row["parameters"] == full[name]["parameters"]
        assert row["macs"] * 8 == full[name]["macs"]


def test_channels_and_classes_count() -> None:
    more, plain = rows("--channels", "4", "--classes", "5"), rows()
    assert all(row["parameters"] > plain[name]["parameters"] for name, row in more.items())


@pytest.mark.parametrize("other", [("--channels", "4"), ("--classes", "14")])
def test_another_network_has_none_at_all(other) -> None:
    for row in rows(*other).values():
        assert (row["paper_parameters"], row["paper_macs"], row["note"]) == (None, None, None)
    text = compared(*other)
    assert "%" not in text
    assert "3 classes at each" not in text


def test_the_printed_table_has_both_figures() -> None:
    title, *lines = compared().splitlines()
    assert title == "Parameters and multiply-accumulates at 96×96×96, 1 channel, 3 classes"
    unet, ours = lines[1], lines[6]
    assert unet.split() == ["3D", "U-Net", "19.07", "19.07", "(+0.0%)", "824.35", "825.30", "(-0.1%)"]
    assert ours.startswith("C2FNAS-Panc")
    assert lines[7].startswith("3D U-Net: The paper's filters")


def test_help_says_how_to_train_each() -> None:
    help_ = " ".join(compared("--help").split())
    assert all(f"{name}" in help_ for name in rows() if name != "c2fnas_panc")
    assert "train --architecture c2fnas-panc" in help_


def test_no_empty_side() -> None:
    with pytest.raises(UserError, match="every side"):
        CliRunner().invoke(app, ["compare", "--input", "0", "9", "9"], catch_exceptions=False)
