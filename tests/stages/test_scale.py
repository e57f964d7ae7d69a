"""The third stage: every width once under the same settings, through the ledger; resumed, extended, failures kept."""

import json
from dataclasses import replace

import pytest
from fine_run import inline, phantoms, prepared_run
from typer.testing import CliRunner

from c2fnas.cli import app
from c2fnas.cli.search_scale import DEFAULT_WIDTHS, numbers, table
from c2fnas.errors import Interrupted, UserError
from c2fnas.inference.scaled import Scaled
from c2fnas.runs.ledger import Ledger
from c2fnas.search.scaling_grid import WIDTHS
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.stages import scale_job
from c2fnas.stages.progress import Silent
from c2fnas.stages.scale import STAGE, grid, search_width
from c2fnas.stages.scale_job import with_patch

SMALL = Architecture.from_text("0:3D 1:P3D 0:2D @0.5")
TINY_WIDTHS = (0.03125, 0.0625)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return phantoms(tmp_path_factory.mktemp("data"))


@pytest.fixture
def setting(dataset, tmp_path):
    return prepared_run(tmp_path, dataset)


@pytest.fixture
def quick(monkeypatch):
    """Training and evaluation left out: a width's Dice is the width itself. Counts what is trained."""
    trained: list[tuple[float, tuple[int, int, int]]] = []

    class Evaluation:
        def __init__(self, dice: float) -> None:
            self.mean, self.per_class = dice, {"organ": dice, "lesion": None}

    def training(setting, network, ids, recipe, folder, device):
        if network.architecture.width in quick.failing:
            raise ArithmeticError("the loss is nan")
        if network.architecture.width in quick.stopping:
            raise Interrupted("stopped")
        trained.append((network.architecture.width, setting.plan.patch_size))

    def quick():
        return trained

    quick.failing, quick.stopping = set[float](), set[float]()
    monkeypatch.setattr(scale_job, "train_on", training)
    monkeypatch.setattr(
        scale_job, "evaluate_on", lambda setting, network, *_: Evaluation(network.architecture.width / 4)
    )
    return quick


def scaled(setting, **options):
    return search_width(setting, inline(), Silent(), architecture=SMALL, **options)


def test_the_papers_grid_is_the_default(setting, quick) -> None:
    rows = scaled(setting)
    assert tuple(row.width for row in rows) == WIDTHS == numbers("--widths", DEFAULT_WIDTHS)
    assert [width for width, _ in quick()] == list(WIDTHS)
    assert [row.dice for row in rows] == [width / 4 for width in WIDTHS]
    for row in rows:
        cost = network_cost(
            replace(SMALL, width=row.width), in_channels=setting.in_channels, classes=setting.classes,
            input_size=setting.plan.patch_size,
        )  # fmt: skip
        assert (row.parameters, row.macs) == (cost.parameters, cost.macs)


def test_called_again_it_trains_nothing_and_further_widths_join(setting, quick) -> None:
    first = scaled(setting, widths=(0.25, 0.5))
    assert scaled(setting, widths=(0.25, 0.5)) == first
    rows = scaled(setting, widths=(1.0, 0.25))
    assert [row.width for row in rows] == [1.0, 0.25]
    assert [width for width, _ in quick()] == [0.25, 0.5, 1.0]
    assert json.loads((setting.folder.scale / "table.json").read_text()) == [row.to_json() for row in rows]


def test_a_failed_width_is_a_row_without_a_score(setting, quick) -> None:
    quick.failing.add(0.5)
    rows = scaled(setting, widths=(0.25, 0.5, 1.0))
    assert [row.dice is None for row in rows] == [False, True, False]
    assert "the loss is nan" in (rows[1].reason or "")
    assert "width 0.5 failed" in table(rows)


def test_stopped_in_the_middle_it_goes_on_under_the_same_number(setting, quick) -> None:
    quick.stopping.add(0.5)
    with pytest.raises(Interrupted):
        scaled(setting, widths=(0.25, 0.5, 1.0))
    assert [trial.state for trial in Ledger(setting.folder.study, STAGE).trials()] == ["succeeded", "interrupted"]
    quick.stopping.clear()
    rows = scaled(setting, widths=(0.25, 0.5, 1.0))
    assert [row.width for row in rows] == [0.25, 0.5, 1.0]
    trials = Ledger(setting.folder.study, STAGE).trials()
    assert [(trial.number, trial.architecture.width) for trial in trials] == [(0, 0.25), (1, 0.5), (2, 1.0)]
    assert [width for width, _ in quick()] == [0.25, 0.5, 1.0]


def test_compound_scaling_is_every_width_with_every_patch(setting, quick) -> None:
    i, j, k = setting.plan.patch_size
    rows = scaled(setting, widths=(0.25, 0.5), patches=(1.0, 2.0))
    assert [(row.width, row.patch) for row in rows] == [
        (0.25, (i, j, k)), (0.5, (i, j, k)), (0.25, (2 * i, 2 * j, 2 * k)), (0.5, (2 * i, 2 * j, 2 * k)),
    ]  # fmt: skip
    assert quick() == [(row.width, row.patch) for row in rows]
    assert rows[2].parameters == rows[0].parameters
    assert rows[2].macs == 8 * rows[0].macs


def test_a_scaled_patch_is_a_valid_plan(setting) -> None:
    for factor in (0.1, 0.5, 0.75, 1, 1.3, 2):
        plan = with_patch(setting, factor).plan
        assert type(plan).model_validate(plan.model_dump()) == plan
        if factor != 1:
            assert all(side % 8 == 0 and side >= 8 for side in plan.patch_size)
    assert with_patch(setting, 1) is setting


def test_another_architecture_is_refused(setting, quick) -> None:
    scaled(setting, widths=(0.25,))
    other = Architecture.from_text("0:3D 1:3D 0:2D @0.5")
    with pytest.raises(UserError, match="scaled another architecture"):
        search_width(setting, inline(), Silent(), widths=(0.25,), architecture=other)


def test_nothing_found_yet(setting) -> None:
    with pytest.raises(UserError, match="fine stage has not finished"):
        search_width(setting, inline(), Silent())


@pytest.mark.parametrize(
    ("widths", "patches", "said"),
    [
        ((0.25, 0.25), (1.0,), "given twice"), ((0.01,), (1.0,), "whole number of filters"),
        ((), (1.0,), "at least one"),
        ((-1.0,), (1.0,), "whole number of filters"), ((1.0,), (0.0,), "above 0"), ((1.0,), (float("nan"),), "above 0"),
        ((1.0,), (1.0, 1.0), "given twice"),
    ],
)  # fmt: skip
def test_a_grid_that_is_none(widths, patches, said) -> None:
    with pytest.raises(UserError, match=said):
        grid(SMALL, widths, patches)


def test_the_table_prints_what_the_rows_hold() -> None:
    row = Scaled(0.25, (96, 96, 96), 1_100_000, 9_900_000_000, 0.5963, {"pancreas": 0.7924, "tumour": None}, None)
    assert table((row,)).splitlines()[0].split() == [
        "width", "patch", "pancreas", "tumour", "mean", "params", "(M)", "MACs", "(G)",
    ]  # fmt: skip
    assert table((row,)).splitlines()[1].split() == ["0.25", "96×96×96", "79.24", "–", "59.63", "1.10", "9.90"]


def test_a_width_costs_about_its_square() -> None:
    points = grid(Architecture.named("c2fnas-panc"), WIDTHS, (1.0,))
    costs = [network_cost(each, in_channels=1, classes=3, input_size=(96, 96, 96)).macs for each in points.values()]
    assert costs[7] / costs[3] == pytest.approx(4, rel=0.05)
    assert costs == sorted(costs)


@pytest.mark.long
def test_trained_for_real_from_the_command_line(dataset, tmp_path) -> None:
    setting = prepared_run(tmp_path, dataset)
    arguments = [
        "search", "scale", "--run", str(setting.folder.root), "-a", SMALL.to_text(), "--json", "--quiet",
        "--widths", ",".join(map(str, TINY_WIDTHS)),
    ]  # fmt: skip
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    rows = json.loads(result.output)["rows"]
    assert [row["width"] for row in rows] == list(TINY_WIDTHS)
    for number, row in enumerate(rows):
        evaluation = json.loads((setting.folder.scale_trial(number) / "evaluation.json").read_text())
        assert set(row["per_class"]) <= {cls for case in evaluation["cases"] for cls in case["dice"]}
        assert 0 <= row["dice"] <= 1
    assert "<svg" in (setting.folder.report / "scaling.svg").read_text()
    again = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert json.loads(again.output)["rows"] == rows
