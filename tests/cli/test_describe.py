"""`c2fnas describe`: its keys and values are an interface."""

import json
import shutil
from typing import Any

import pytest
from typer.testing import CliRunner

from c2fnas.cli import app, main
from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan, save_plan
from c2fnas.errors import UserError
from c2fnas.inference.pretrained import PLACE


def described(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["describe", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def facts(*arguments: str) -> Any:
    return json.loads(described(*arguments, "--json"))


def test_the_space_has_the_papers_counts() -> None:
    space = facts("--space")
    assert space["topologies"] == 924
    assert space["unpruned_topologies"] == 28657
    assert space["operation_configurations"] == 531441
    assert space["walks"] == 75025
    assert space["architectures"] == 924 * 531441


def test_panc() -> None:
    panc = facts("c2fnas-panc", "--input", "96", "96", "96")
    assert panc["parameters"] == pytest.approx(17.02e6, rel=0.04)
    assert panc["macs"] == pytest.approx(150.78e9, rel=0.01)
    assert panc["code"] == [0, 0, 1, 1, 2, 3, 2, 2, 1, 0, 0, 0]
    assert panc["operations"] == ["2D", "P3D", "3D", "3D", "3D", "2D", "3D", "3D", "P3D", "3D", "2D", "3D"]
    assert "17.02 M" in panc["note"]


def test_cells_have_a_row_each() -> None:
    panc = facts("c2fnas-panc")
    rows = panc["cells"]
    assert [row["cell"] for row in rows] == list(range(1, 13))
    assert [row["level"] for row in rows] == panc["code"]
    assert [row["operation"] for row in rows] == panc["operations"]
    assert [row["filters"] for row in rows] == [64 * 2**level for level in panc["code"]]
    assert sum(row["macs"] for row in rows) < panc["macs"]


def test_the_text_form_a_file_and_other_sizes(tmp_path) -> None:
    text = "0:3D 1:P3D 0:2D @0.5"
    small = facts(text, "--input", "8", "9", "10", "--channels", "2", "--classes", "5")
    assert (small["architecture"], small["width"]) == (text, 0.5)
    assert (small["input"], small["channels"], small["classes"]) == ([8, 9, 10], 2, 5)
    assert "note" not in small
    file = tmp_path / "architecture.json"
    file.write_text(
        json.dumps({"format": "c2fnas-architecture-1", **{k: small[k] for k in ("code", "operations", "width")}})
    )
    assert facts(str(file), "--input", "8", "9", "10", "--channels", "2", "--classes", "5") == small


def test_in_words() -> None:
    assert "924" in described("--space")
    shown = described("c2fnas-panc")
    assert "17.60 M parameters, 149.60 G multiply-accumulates at 96×96×96" in shown
    assert "0:2D 0:P3D 1:3D 1:3D 2:3D 3:2D 2:3D 2:3D 1:P3D 0:3D 0:2D 0:3D @1" in shown


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_a_drawing(tmp_path, suffix: str) -> None:
    file = tmp_path / f"panc.{suffix}"
    assert described("c2fnas-panc", "--figure", str(file)) == described("c2fnas-panc")
    content = file.read_bytes()
    assert content.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[suffix])
    if suffix == "svg":
        text = content.decode()
        assert text.count(">P3D</text>") == 3  # two cells and the legend
        assert "level 3, 1/16" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("c2fnas-panc", "--figure", "panc.bmp"), r"\.png, \.svg or \.pdf"),
        (("--space", "--figure", "space.svg"), "draws an architecture"),
    ],
)
def test_what_cannot_be_drawn(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        described(*arguments)


@pytest.mark.parametrize("arguments", [(), ("c2fnas-panc", "--space")])
def test_an_architecture_or_the_space(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="one of the two"):
        described(*arguments)


@pytest.mark.parametrize("architecture", ["c2fnas-liver", "0:3D 1:3D", "no/such/file.json"])
def test_what_is_no_architecture(architecture: str) -> None:
    with pytest.raises(UserError, match="not an architecture"):
        described(architecture)


@pytest.mark.parametrize("size", [("0", "9", "9"), ("-1", "9", "9")])
def test_sizes_are_at_least_one_voxel(size: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["describe", "c2fnas-panc", "--input", *size])
    assert result.exit_code == 2 or isinstance(result.exception, UserError)


def test_numbers_of_an_option_stand_with_commas_or_spaces_between_them() -> None:
    spaces = facts("c2fnas-panc", "--input", "40", "56", "40")
    assert facts("c2fnas-panc", "--input", "40,56,40") == facts("c2fnas-panc", "--input=40,56,40") == spaces


def test_too_few_numbers_lead_to_the_help_of_the_command(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["c2fnas", "describe", "c2fnas-panc", "--input", "40,56"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "`c2fnas describe --help` has examples." in capsys.readouterr().err


def test_the_cost_of_a_model_is_that_of_its_own_patch_channels_and_classes() -> None:
    plan = json.loads((PLACE / "hippocampus/fold-0/plan.json").read_text())
    for named in ("hippocampus", "hippocampus/fold-0", str(PLACE / "hippocampus" / "fold-0")):
        model = facts(named)
        assert model["input"] == plan["patch_size"] != [96, 96, 96]
        assert (model["channels"], model["classes"]) == (len(plan["channels"]), len(plan["classes"]))
    assert facts("hippocampus", "--input", "96,96,96")["input"] == [96, 96, 96]


@pytest.mark.parametrize("content", ["[1]", '{"patch_size": [1, 2]}', '{"channels": 3}'])
def test_a_damaged_plan_is_named_where_it_is_needed(tmp_path, content) -> None:
    shutil.copytree(PLACE / "hippocampus/fold-0", tmp_path / "model")
    (tmp_path / "model" / "plan.json").write_text(content)
    with pytest.raises(UserError, match=r"plan\.json: not the plan of a model"):
        described(str(tmp_path / "model"))
    assert facts(str(tmp_path / "model"), "--input", "9,9,9", "--channels", "1", "--classes", "2")["input"] == [9, 9, 9]


def test_the_cost_of_a_run_is_that_of_its_plan(tmp_path) -> None:
    """A run that has found nothing beyond its topology yet."""
    found = json.loads((PLACE / "hippocampus/fold-0/architecture.json").read_text())
    (tmp_path / "architecture.json").write_text(json.dumps(found))
    channels = tuple(ChannelPlan(name=name, kind="mr") for name in ("T1", "T2"))
    classes = tuple(ClassPlan(name=name, values=(value,)) for value, name in enumerate(("background", "organ")))
    sizes = {"patch_size": (32, 48, 16), "stride": (16, 24, 8), "ranking_stride": (16, 24, 8)}
    save_plan(Plan(channels=channels, classes=classes, spacing=(1, 1, 2), **sizes), tmp_path / "plan.yaml")
    run = facts(str(tmp_path))
    assert (run["input"], run["channels"], run["classes"]) == ([32, 48, 16], 2, 2)


def test_a_name_that_nothing_has_is_no_fault_of_a_text_form() -> None:
    with pytest.raises(UserError, match=r"spleenrun: not an architecture: no such name, file, run or model"):
        described("spleenrun")
    with pytest.raises(UserError, match=r"cell 1: '3D' is not of the form"):
        described("3D 0:3D")
