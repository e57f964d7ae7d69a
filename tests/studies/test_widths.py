"""The third stage: every width once under the same settings, through the ledger; resumed, extended, failures kept."""

import json
from dataclasses import dataclass, field, replace

import pytest
from c2fnas.studies.width_job import with_patch
from fine_run import Listener, inline, phantoms, prepared_run
from typer.testing import CliRunner

from c2fnas.api.results import Scaling
from c2fnas.cli import app
from c2fnas.cli.text_studies import scaling
from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.metrics import CaseScores, Evaluation, summarise
from c2fnas.files import append_json_line
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Setting
from c2fnas.search.scaling_grid import WIDTHS
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.studies import width_job as scale_job
from c2fnas.studies import widths as scale
from c2fnas.studies.widths import STAGE, Scaled, grid, patch_factors, search_width
from c2fnas.training.metrics_log import METRICS

SMALL = Architecture.from_text("0:3D 1:P3D 0:2D @0.5")
TINY_WIDTHS = (0.03125, 0.0625)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return phantoms(tmp_path_factory.mktemp("data"))


@pytest.fixture
def setting(dataset, tmp_path):
    return prepared_run(tmp_path, dataset)


@dataclass
class Quick:
    """Training and evaluation left out: a width's Dice is a quarter of the width."""

    trained: list[tuple[float, tuple[int, int, int]]] = field(default_factory=list)
    failing: set[float] = field(default_factory=set)
    stopping: set[float] = field(default_factory=set)

    def train(self, setting, network, ids, recipe, folder, device) -> None:
        """Notes the width and its patch; leaves the metrics' last line."""
        width = network.architecture.width
        if width in self.failing:
            raise ArithmeticError("the loss is nan")
        if width in self.stopping:
            raise Interrupted("stopped")
        append_json_line(folder / METRICS, {"iteration": recipe.iterations, "iterations": recipe.iterations})
        self.trained.append((width, setting.plan.patch_size))

    def evaluate(self, setting, network, ids, folder, device) -> Evaluation:
        """Of one case."""
        return summarise([CaseScores("a", {"organ": network.architecture.width / 4, "lesion": None})])


@pytest.fixture
def quick(monkeypatch) -> Quick:
    quick = Quick()
    monkeypatch.setattr(scale_job, "train_on", quick.train)
    monkeypatch.setattr(scale_job, "evaluate_on", quick.evaluate)
    return quick


def scaled(setting, **options):
    return search_width(setting, inline(), Silent(), architecture=SMALL, **options)


def test_the_papers_grid_is_the_default(setting, quick) -> None:
    rows = scaled(setting)
    assert tuple(row.width for row in rows) == WIDTHS
    assert [width for width, _ in quick.trained] == list(WIDTHS)
    assert [row.dice for row in rows] == [width / 4 for width in WIDTHS]
    for row in rows:
        cost = network_cost(
            replace(SMALL, width=row.width),
            in_channels=setting.in_channels,
            classes=setting.classes,
            input_size=setting.plan.patch_size,
        )
        assert (row.parameters, row.macs) == (cost.parameters, cost.macs)


def test_called_again_it_trains_nothing_and_further_widths_join(setting, quick) -> None:
    first = scaled(setting, widths=(0.25, 0.5))
    assert scaled(setting, widths=(0.25, 0.5)) == first
    rows = scaled(setting, widths=(1.0, 0.125))
    assert [row.width for row in rows] == [0.125, 0.25, 0.5, 1.0]
    assert rows[1:3] == first
    assert [width for width, _ in quick.trained] == [0.25, 0.5, 1.0, 0.125]
    assert json.loads(setting.folder.scale_table.read_text()) == [row.to_json() for row in rows]


def test_one_table_is_of_one_length(setting, quick) -> None:
    scaled(setting, widths=(0.25,))
    with pytest.raises(UserError, match=r"trained for 2 iterations here.*has 7"):
        scaled(extended(setting), widths=(0.25, 0.5))
    assert len(quick.trained) == 1


def test_a_ledger_that_does_not_say_how_long_asks_the_metrics(setting, quick, monkeypatch) -> None:
    facts = scale._ScalingGrid.facts

    def facts_of_before(self, point):
        return {key: value for key, value in facts(self, point).items() if key != "iterations"}

    monkeypatch.setattr(scale._ScalingGrid, "facts", facts_of_before)
    scaled(setting, widths=(0.25,))
    assert "iterations" not in Ledger(setting.folder.study, STAGE).trial(0).extra
    assert len(scaled(setting, widths=(0.25, 0.5))) == 2
    with pytest.raises(UserError, match=r"trained for 2 iterations here.*has 7"):
        scaled(extended(setting), widths=(0.25,))
    for number in (0, 1):
        (setting.folder.scale_trial(number) / METRICS).unlink()
    assert len(scaled(extended(setting), widths=(0.25,))) == 2, "nothing tells, so it counts as alike"


def extended(setting: Setting) -> Setting:
    """The run as `train --extend 7` leaves it."""
    deployment = setting.config.deployment
    longer = deployment.model_copy(update={"recipe": deployment.recipe.with_iterations(7), "extended": True})
    return replace(setting, config=setting.config.model_copy(update={"deployment": longer}))


def test_a_failed_width_is_a_row_without_a_score(setting, quick) -> None:
    quick.failing.add(0.5)
    rows = scaled(setting, widths=(0.25, 0.5, 1.0))
    assert [row.dice is None for row in rows] == [False, True, False]
    assert "the loss is nan" in (rows[1].reason or "")
    patch = "×".join(map(str, setting.plan.patch_size))
    assert f"width 0.5, patch {patch}, failed: " in scaling(Scaling(rows))


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
    assert [width for width, _ in quick.trained] == [0.25, 0.5, 1.0]


def test_compound_scaling_is_every_width_with_every_patch(setting, quick) -> None:
    i, j, k = setting.plan.patch_size
    rows = scaled(setting, widths=(0.25, 0.5), patches=(1.0, 2.0))
    assert [(row.width, row.patch) for row in rows] == [
        (0.25, (i, j, k)),
        (0.5, (i, j, k)),
        (0.25, (2 * i, 2 * j, 2 * k)),
        (0.5, (2 * i, 2 * j, 2 * k)),
    ]
    assert quick.trained == [(row.width, row.patch) for row in rows]
    assert rows[2].parameters == rows[0].parameters
    assert rows[2].macs == 8 * rows[0].macs


def test_a_failure_is_told_with_its_patch(setting, quick) -> None:
    quick.failing.add(0.25)
    said = Listener()
    search_width(setting, inline(), said, architecture=SMALL, widths=(0.25,), patches=(2.0,))
    patch = "×".join(str(2 * side) for side in setting.plan.patch_size)
    assert said.said[0].startswith(f"Width 0.25, patch {patch}, failed and is left out: ")


def test_rows_are_in_order_whatever_was_asked_first(setting, quick) -> None:
    scaled(setting, widths=(0.5, 0.25), patches=(2.0,))
    rows = scaled(setting, widths=(0.5, 0.25), patches=(1.0,))
    assert [(row.patch > setting.plan.patch_size, row.width) for row in rows] == [
        (False, 0.25),
        (False, 0.5),
        (True, 0.25),
        (True, 0.5),
    ]


def test_factors_that_round_to_one_patch_are_one(setting, quick) -> None:
    with pytest.raises(UserError, match=r"1 and 1\.05 both give patches of \d+×"):
        scaled(setting, widths=(0.25,), patches=(1.0, 1.05))
    assert scaled(setting, widths=(0.25,)) == scaled(setting, widths=(0.25,), patches=(1.05,))
    assert len(quick.trained) == 1


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
    ("widths", "said"),
    [
        ((0.25, 0.25), "given twice"),
        ((0.01,), "whole number of filters"),
        ((-1.0,), "whole number of filters"),
        ((), "at least one"),
    ],
)
def test_widths_that_are_none(widths, said) -> None:
    with pytest.raises(UserError, match=said):
        grid(SMALL, widths, [(32, 32, 32)])


@pytest.mark.parametrize(
    ("patches", "said"),
    [((), "at least one"), ((0.0,), "above 0"), ((float("nan"),), "above 0"), ((1.0, 1.0), "1 and 1 both")],
)
def test_patches_that_are_none(setting, patches, said) -> None:
    with pytest.raises(UserError, match=said):
        patch_factors(setting, patches)


def test_the_table_prints_what_the_rows_hold() -> None:
    row = Scaled(0.25, (96, 96, 96), 1_100_000, 9_900_000_000, 0.5963, {"pancreas": 0.7924, "tumour": None}, None)
    assert scaling(Scaling((row,))).splitlines()[0].split() == [
        "width",
        "patch",
        "pancreas",
        "tumour",
        "mean",
        "params",
        "(M)",
        "MACs",
        "(G)",
    ]
    assert scaling(Scaling((row,))).splitlines()[1].split() == [
        "0.25",
        "96×96×96",
        "79.24",
        "–",
        "59.63",
        "1.10",
        "9.90",
    ]


def test_a_width_costs_about_its_square() -> None:
    points = grid(Architecture.named("c2fnas-panc"), WIDTHS, [(96, 96, 96)])
    costs = [network_cost(each, in_channels=1, classes=3, input_size=(96, 96, 96)).macs for each in points.values()]
    assert costs[7] / costs[3] == pytest.approx(4, rel=0.05)
    assert costs == sorted(costs)


def test_the_command_prints_every_row_and_trains_on_the_devices_asked_for(setting, quick, monkeypatch) -> None:
    asked = []

    def executor(devices):
        asked.append(devices)
        return inline()

    monkeypatch.setattr("c2fnas.execution.LocalProcessExecutor", executor)
    for width in ("0.25", "0.125"):
        arguments = ["--widths", width, "--devices", "cpu:0,cpu:1", "-a", SMALL.to_text(), "--quiet"]
        printed = CliRunner().invoke(
            app, ["search", "scale", "--run", str(setting.folder.root), *arguments], catch_exceptions=False
        )
    assert asked == [("cpu:0", "cpu:1")] * 2
    assert [line.split()[0] for line in printed.output.splitlines()] == ["width", "0.125", "0.25"]


@pytest.mark.long
def test_trained_for_real_from_the_command_line(dataset, tmp_path) -> None:
    setting = prepared_run(tmp_path, dataset)
    arguments = [
        "search",
        "scale",
        "--run",
        str(setting.folder.root),
        "-a",
        SMALL.to_text(),
        "--json",
        "--quiet",
        "--widths",
        ",".join(map(str, TINY_WIDTHS)),
        "--devices",
        "cpu",
    ]
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
