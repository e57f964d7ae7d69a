"""The third stage: every width once under the same settings; resumed, extended, what failed tried again."""

import json
import shutil
from dataclasses import replace

import pytest
from fine_run import Listener, inline, phantoms, prepared_run
from study_runs import QuickWidths

from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.planning.plan import scaled_plan
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.overrides import with_values
from c2fnas.runs.run import Run
from c2fnas.search.width_grid import WIDTHS, scaling_grid
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.studies.widths import STAGE, Scaled, neighbours, patch_factors, search_width

SMALL = Architecture.from_text("0:3D 1:P3D 0:2D @0.5")
TINY_WIDTHS = (0.03125, 0.0625)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    return prepared_run(folder, phantoms(folder))


@pytest.fixture
def run(prepared, tmp_path):
    return Run.open(shutil.copytree(prepared.folder.root, tmp_path / "run"))


@pytest.fixture
def quick(monkeypatch) -> QuickWidths:
    quick = QuickWidths()
    quick.install(monkeypatch)
    return quick


def scaled(run, **options):
    return search_width(run.using(inline()), architecture=SMALL, **options)


def test_the_papers_grid_is_the_default(run, quick) -> None:
    rows = scaled(run)
    assert tuple(row.width for row in rows) == WIDTHS
    assert [width for width, _ in quick.trained] == list(WIDTHS)
    assert [row.dice for row in rows] == [width / 4 for width in WIDTHS]
    for row in rows:
        cost = network_cost(
            replace(SMALL, width=row.width),
            in_channels=run.in_channels,
            classes=run.classes,
            input_size=run.plan.patch_size,
        )
        assert (row.parameters, row.macs) == (cost.parameters, cost.macs)


def test_called_again_it_trains_nothing_and_further_widths_join(run, quick) -> None:
    first = scaled(run, widths=(0.25, 0.5))
    assert scaled(run, widths=(0.25, 0.5)) == first
    rows = scaled(run, widths=(1.0, 0.125))
    assert [row.width for row in rows] == [0.125, 0.25, 0.5, 1.0]
    assert rows[1:3] == first
    assert [width for width, _ in quick.trained] == [0.25, 0.5, 1.0, 0.125]
    assert json.loads(run.folder.scale_table.read_text()) == [row.to_json() for row in rows]


def test_one_table_is_of_one_length(run, quick) -> None:
    scaled(run, widths=(0.25,))
    with pytest.raises(UserError, match=r"trained for 2 iterations here.*has 7"):
        scaled(extended(run), widths=(0.25, 0.5))
    assert len(quick.trained) == 1


def extended(run: Run) -> Run:
    """The run as `train --extend 7` leaves it."""
    longer = run.config.deployment.recipe.with_iterations(7)
    values = {"deployment.recipe": longer, "deployment.extended": True}
    return Run(run.folder.root, config=with_values(run.config, values))


def test_a_failed_width_is_a_row_without_a_score_and_is_tried_again(run, quick) -> None:
    quick.failing.add(0.5)
    rows = scaled(run, widths=(0.25, 0.5, 1.0))
    assert [row.dice is None for row in rows] == [False, True, False]
    assert "the loss is nan" in (rows[1].reason or "")
    trials = run.ledger(STAGE).trials()
    assert [(trial.architecture.width, trial.state) for trial in trials] == [
        (0.25, "succeeded"),
        (0.5, "failed"),
        (1.0, "succeeded"),
    ]
    assert "the loss is nan" in (trials[1].reason or "")
    assert scaled(run, widths=(0.25, 0.5, 1.0)) == rows
    assert len(run.ledger(STAGE).trials()) == 3, "the same failure is told once"
    quick.failing.clear()
    again = scaled(run, widths=(0.5,))
    assert [(row.dice, row.reason) for row in again] == [(0.0625, None), (0.125, None), (0.25, None)]
    assert [width for width, _ in quick.trained] == [0.25, 1.0, 0.5]
    assert [trial.score for trial in run.ledger(STAGE).trials()] == [0.0625, None, 0.25, 0.125]


def test_a_driver_that_died_while_it_entered_a_width_enters_it_again(run, quick) -> None:
    scaled(run, widths=(0.25,))
    first = run.ledger(STAGE).trial(0)
    facts = {name: first.extra[name] for name in ("patch_factor", "patch", "iterations")}
    run.ledger(STAGE).start(replace(SMALL, width=0.5), facts)
    scaled(run, widths=(0.25, 0.5))
    assert [trial.score for trial in run.ledger(STAGE).trials()] == [0.0625, 0.125]


def test_a_width_whose_dice_is_not_measurable_is_a_row_that_says_so(run, quick) -> None:
    quick.unscored.add(0.5)
    listener = Listener()
    for _ in range(2):
        rows = search_width(run.using(inline(), listener), architecture=SMALL, widths=(0.25, 0.5))
    assert [row.dice for row in rows] == [0.0625, None]
    assert rows[1].reason == "Dice not measurable: no case shows an organ"
    assert rows[1].per_class is None
    assert any("Dice not measurable" in text and text.startswith("Width 0.5") for text in listener.said)
    assert [trial.score for trial in run.ledger(STAGE).trials()] == [0.0625, None]
    assert [width for width, _ in quick.trained] == [0.25, 0.5], "it has ended"


def test_stopped_in_the_middle_it_goes_on_with_the_width_under_way(run, quick) -> None:
    quick.stopping.add(0.5)
    with pytest.raises(Interrupted):
        scaled(run, widths=(0.25, 0.5, 1.0))
    assert [trial.state for trial in Ledger(run.folder.study, STAGE).trials()] == ["succeeded"]
    quick.stopping.clear()
    rows = scaled(run, widths=(0.25, 0.5, 1.0))
    assert [row.width for row in rows] == [0.25, 0.5, 1.0]
    trials = Ledger(run.folder.study, STAGE).trials()
    assert [(trial.number, trial.architecture.width) for trial in trials] == [(0, 0.25), (1, 0.5), (2, 1.0)]
    assert [width for width, _ in quick.trained] == [0.25, 0.5, 1.0]


def test_a_run_copied_to_another_place_carries_on_there(run, quick, tmp_path) -> None:
    """Nothing in it holds an absolute path, the jobs of widths neither."""
    first = scaled(run, widths=(0.25,))
    copy = Run.open(shutil.copytree(run.folder.root, tmp_path / "copy"))
    shutil.rmtree(run.folder.root)
    assert scaled(copy, widths=(0.25, 0.5))[:1] == first
    assert [width for width, _ in quick.trained] == [0.25, 0.5]


def test_compound_scaling_is_every_width_with_every_patch(run, quick) -> None:
    i, j, k = run.plan.patch_size
    rows = scaled(run, widths=(0.25, 0.5), patches=(1.0, 2.0))
    assert [(row.width, row.patch) for row in rows] == [
        (0.25, (i, j, k)),
        (0.5, (i, j, k)),
        (0.25, (2 * i, 2 * j, 2 * k)),
        (0.5, (2 * i, 2 * j, 2 * k)),
    ]
    assert quick.trained == [(row.width, row.patch) for row in rows]
    assert rows[2].parameters == rows[0].parameters
    assert rows[2].macs == 8 * rows[0].macs


def test_a_failure_is_told_with_its_patch(run, quick) -> None:
    quick.failing.add(0.25)
    said = Listener()
    search_width(run.using(inline(), said), architecture=SMALL, widths=(0.25,), patches=(2.0,))
    patch = "×".join(str(2 * side) for side in run.plan.patch_size)
    assert said.said[0].startswith(f"Width 0.25, patch {patch}, failed and is left out: ")


def test_rows_are_in_order_whatever_was_asked_first(run, quick) -> None:
    scaled(run, widths=(0.5, 0.25), patches=(2.0,))
    rows = scaled(run, widths=(0.5, 0.25), patches=(1.0,))
    assert [(row.patch > run.plan.patch_size, row.width) for row in rows] == [
        (False, 0.25),
        (False, 0.5),
        (True, 0.25),
        (True, 0.5),
    ]


def test_factors_that_round_to_one_patch_are_one(run, quick) -> None:
    with pytest.raises(UserError, match=r"1 and 1\.05 both give patches of \d+×"):
        scaled(run, widths=(0.25,), patches=(1.0, 1.05))
    assert scaled(run, widths=(0.25,)) == scaled(run, widths=(0.25,), patches=(1.05,))
    assert len(quick.trained) == 1


def test_a_scaled_patch_is_a_valid_plan(run) -> None:
    for factor in (0.1, 0.5, 0.75, 1, 1.3, 2):
        plan = scaled_plan(run.plan, factor)
        assert type(plan).model_validate(plan.model_dump()) == plan
        if factor != 1:
            assert all(side % 8 == 0 and side >= 8 for side in plan.patch_size)
    assert scaled_plan(run.plan, 1) is run.plan


def test_another_architecture_is_refused(run, quick) -> None:
    scaled(run, widths=(0.25,))
    other = Architecture.from_text("0:3D 1:3D 0:2D @0.5")
    with pytest.raises(UserError, match="scaled another architecture"):
        search_width(run.using(inline()), widths=(0.25,), architecture=other)


def test_nothing_found_yet(run) -> None:
    with pytest.raises(UserError, match="fine stage has not finished"):
        search_width(run)


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
        scaling_grid(SMALL, widths)


@pytest.mark.parametrize(
    ("patches", "said"),
    [((), "at least one"), ((0.0,), "above 0"), ((float("nan"),), "above 0"), ((1.0, 1.0), "1 and 1 both")],
)
def test_patches_that_are_none(run, patches, said) -> None:
    with pytest.raises(UserError, match=said):
        patch_factors(run, patches)


def test_a_width_costs_about_its_square() -> None:
    scaled = scaling_grid(Architecture.named("c2fnas-panc"), WIDTHS)
    costs = [network_cost(each, in_channels=1, classes=3, input_size=(96, 96, 96)).macs for each in scaled]
    assert costs[7] / costs[3] == pytest.approx(4, rel=0.05)
    assert costs == sorted(costs)


def test_each_width_has_as_many_seeds_as_are_asked_for(run, quick) -> None:
    first = scaled(run, widths=(0.25, 0.5))
    assert [(row.trainings, row.spread) for row in first] == [(1, None)] * 2
    rows = scaled(run, widths=(0.25, 0.5), replicates=3)
    assert [width for width, _ in quick.trained] == [0.25, 0.5] * 3, "what is trained counts, all widths before more"
    for row in rows:
        assert (row.trainings, row.reason) == (3, None)
        assert (row.dice, row.spread) == (pytest.approx(row.width / 4 + 0.01), pytest.approx(0.01))
        assert row.per_class == {"organ": pytest.approx(row.dice), "lesion": None}
    assert scaled(run, widths=(0.25,)) == rows, "as many as the table has"
    assert len(run.ledger(STAGE).trials()) == len(quick.trained) == 6
    (pair,) = neighbours(run)
    assert pair.comparison is not None
    assert (pair.comparison.trainings, pair.comparison.mean) == ((3, 3), pytest.approx(0.0625))
    assert Scaled.from_json(json.loads(run.folder.scale_table.read_text())[0]) == rows[0]


def test_further_widths_have_as_many_seeds_as_the_table_and_lose_none(run, quick) -> None:
    scaled(run, widths=(0.25,), replicates=2)
    assert [row.trainings for row in scaled(run, widths=(0.5,))] == [2, 2]
    assert [row.trainings for row in scaled(run, widths=(0.25, 1.0), replicates=1)] == [2, 2, 1]
    (run.folder.scale_table).unlink()  # as where the first call was killed before it wrote one
    assert [row.trainings for row in scaled(run, widths=(0.25, 0.5))] == [2, 2]
    assert len(quick.trained) == 5


def test_a_seed_that_fails_is_not_passed_over(run, quick) -> None:
    """What is left would be the better ones."""
    quick.failing_seeds.add((0.25, 1))
    rows = scaled(run, widths=(0.25, 0.5), replicates=2)
    assert [row.dice for row in rows] == [None, pytest.approx(0.13)]
    assert (rows[0].reason or "").startswith("seed 1: ")
    assert "the loss is nan" in (rows[0].reason or "")
    assert neighbours(run) == ()
    quick.failing_seeds.clear()
    assert [row.dice for row in scaled(run, widths=(0.25,))] == [pytest.approx(0.0675), pytest.approx(0.13)]


def test_a_table_of_an_earlier_version_has_one_training_each(run, quick) -> None:
    (row,) = scaled(run, widths=(0.25,))
    old = {name: value for name, value in row.to_json().items() if name not in ("trainings", "spread")}
    assert Scaled.from_json(old) == row


@pytest.mark.long
def test_trained_for_real(run) -> None:
    rows = scaled(run, widths=TINY_WIDTHS)
    assert [row.width for row in rows] == list(TINY_WIDTHS)
    for row in rows:
        folder = run.folder.scale / f"width-{row.width:g}-patch-1"
        evaluation = Evaluation.from_json(json.loads((folder / "evaluation.json").read_text()))
        assert (row.dice, row.per_class) == (evaluation.mean, evaluation.per_class)
        assert {case.case for case in evaluation.cases} == set(run.search_split.validation)
        assert not list(folder.glob("checkpoints/*")), "only what is deployed can be extended"
    assert scaled(run, widths=TINY_WIDTHS) == rows


def test_each_width_is_told_from_the_next_as_one_training_allows(run, quick) -> None:
    quick.failing.add(0.5)
    scaled(run, widths=(0.25, 0.5, 1.0), patches=(0.5, 1.0))
    pairs = neighbours(run)
    assert len(pairs) == 2, "of each patch the two widths that have a Dice"
    for pair in pairs:
        assert pair.first.startswith("Width 1, patch ")
        assert pair.second == pair.first.replace("Width 1,", "Width 0.25,")
        assert pair.comparison is not None
        assert (pair.comparison.mean, pair.comparison.answer) == (pytest.approx(0.1875), "cannot tell")
        assert pair.networks is not None
        assert pair.networks.mean.mean == pytest.approx(0.1875)
        assert "cannot be told from" in pair.sentences[0]
