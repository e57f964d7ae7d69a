"""Table 3: what runs have found, trained alike on each run's data, fold by fold; what deployment did is kept."""

import shutil
from pathlib import Path

import pytest
from fine_run import Listener, inline, phantoms, prepared_run
from study_runs import COARSE, FINE, OTHER, QuickFolds, found

from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.files import read_json, write_json
from c2fnas.inference.package import load_package
from c2fnas.runs.config import RunConfig
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.overrides import with_values
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.stages.deployment import deploy
from c2fnas.studies.ablation import STAGE, ablate, contenders, refuse_unfit, write_table_3


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    return prepared_run(folder, phantoms(folder)).folder.root


@pytest.fixture
def run(prepared, tmp_path) -> Path:
    """A run that has found both its architectures."""
    return found(shutil.copytree(prepared, tmp_path / "first"))


@pytest.fixture
def quick(monkeypatch) -> QuickFolds:
    return quick_training(monkeypatch)


def quick_training(monkeypatch) -> QuickFolds:
    quick = QuickFolds()
    quick.install(monkeypatch)
    return quick


def ablated(run: Path, folds=(0, 1), listener=None, **further):
    return ablate(Run.open(run).using(inline(), listener), contenders([run], further), folds)


def test_coarse_against_fine(run, quick) -> None:
    column = ablated(run, folds=(0, 1, 2))
    assert list(column.rows) == ["C-Phantoms", "F-Phantoms"]
    assert quick.trained == [(each.to_text(), fold) for fold in (0, 1, 2) for each in (COARSE, FINE)]
    opened = Run.open(run)
    for name, architecture in (("C-Phantoms", COARSE), ("F-Phantoms", FINE)):
        row = column.rows[name]
        cost = network_cost(
            architecture, in_channels=opened.in_channels, classes=opened.classes, input_size=opened.plan.patch_size
        )
        assert (row.parameters, row.macs) == (cost.parameters, cost.macs)
        assert [len(row.evaluations[fold].cases) for fold in (0, 1, 2)] == [3, 3, 3]
    table = write_table_3([column], run)
    assert read_json(run / "ablation/table-3.json") == table
    coarse, fine = table["data_sets"][0]["rows"]
    assert coarse["classes"][0]["dice"] == pytest.approx(0.6)
    assert coarse["classes"][0]["folds"] == pytest.approx([0.5, 0.6, 0.7])
    assert fine["mean"]["dice"] == pytest.approx(0.62)
    (pair,) = table["data_sets"][0]["differences"]
    assert (pair["first"], pair["second"], pair["same"]) == ("F-Phantoms", "C-Phantoms", False)
    assert pair["comparison"]["mean"] == pytest.approx(0.02)
    assert (pair["comparison"]["groups"], pair["comparison"]["trainings"]) == (9, [3, 3])
    assert pair["comparison"]["answer"] == "better", "every fold differs by the same"
    assert pair["networks"] is None


def test_called_again_it_trains_nothing_and_further_ones_join(run, quick) -> None:
    first = ablated(run, folds=(0,))
    assert ablated(run, folds=(0,)) == first
    more = ablated(run, folds=(0, 1), panc=OTHER)
    here = Architecture.from_text("0:2D 0:2D 0:3D @0.0625")
    assert more.rows["panc"].architecture == here, "in the run's width"
    assert sorted(quick.trained) == sorted((each.to_text(), fold) for each in (COARSE, FINE, here) for fold in (0, 1))
    assert more.rows["F-Phantoms"].evaluations[0] == first.rows["F-Phantoms"].evaluations[0]


def test_stopped_in_the_middle_it_goes_on_with_the_training_under_way(run, quick) -> None:
    quick.stopping.add((FINE.to_text(), 0))
    with pytest.raises(Interrupted):
        ablated(run)
    quick.stopping.clear()
    ablated(run)
    trials = Ledger(run / "study.db", STAGE).trials()
    assert [(trial.architecture, trial.extra["fold"]) for trial in trials] == [
        (COARSE, 0),
        (FINE, 0),
        (COARSE, 1),
        (FINE, 1),
    ]
    assert len(quick.trained) == 4


def test_a_training_that_fails_leaves_the_folds_that_both_have(run, quick) -> None:
    quick.failing.add((FINE.to_text(), 0))
    column = ablated(run)
    assert "the loss is nan" in column.rows["F-Phantoms"].failures[0]
    table = write_table_3([column], run)["data_sets"][0]
    assert [row["folds"] for row in table["rows"]] == [[0, 1], [1]]
    assert table["differences"][0]["networks"]["mean"]["cases"] == 3
    assert table["differences"][0]["comparison"]["answer"] == "cannot tell"
    quick.failing.add((FINE.to_text(), 2))
    nothing = write_table_3([ablated(run, folds=(0, 2))], run)["data_sets"][0]
    assert "mean" not in nothing["rows"][1]
    assert nothing["differences"][0]["comparison"] is None
    assert nothing["differences"][0]["sentences"] == ["F-Phantoms and C-Phantoms: no fold of both."]
    trials = Ledger(run / "study.db", STAGE, read_only=True).trials()
    assert [(trial.architecture, trial.extra["fold"]) for trial in trials if trial.state == "failed"] == [
        (FINE, 0),
        (FINE, 2),
    ]
    quick.failing.clear()
    whole = write_table_3([ablated(run, folds=(0, 1, 2))], run)["data_sets"][0]
    assert [row["folds"] for row in whole["rows"]] == [[0, 1, 2], [0, 1, 2]], "tried again, it is there"
    assert len(quick.trained) == len(set(quick.trained)) == 6


def test_a_training_without_a_dice_says_so(run, quick) -> None:
    """It is trained once, told once, and its fold has no part in the comparison."""
    quick.unscored.add((FINE.to_text(), 0))
    listener = Listener()
    for _ in range(2):
        column = ablated(run, listener=listener)
    row = column.rows["F-Phantoms"]
    assert row.failures == {0: "Dice not measurable: no case shows an organ"}
    assert list(row.evaluations) == [1]
    assert any(FINE.to_text() in text and "Dice not measurable" in text for text in listener.said)
    table = write_table_3([column], run)["data_sets"][0]
    assert table["rows"][1]["failures"] == [{"fold": 0, "reason": row.failures[0]}]
    assert table["differences"][0]["networks"]["mean"]["cases"] == 3
    assert table["differences"][0]["comparison"]["answer"] == "cannot tell"
    assert len(quick.trained) == 4
    assert len(Ledger(run / "study.db", STAGE, read_only=True).trials()) == 4


def deployed(run: Path) -> Run:
    opened = Run.open(run)
    with inline() as executor:
        deploy(opened.using(executor), FINE, [4])
    return opened


def test_what_deployment_has_trained_counts(run) -> None:
    """Trained for real: the same evaluation, no second training; and the others are trained as deployment does."""
    checkpoints = run / "final/fold-4/checkpoints"
    deployed(run)
    left = sorted(each.name for each in checkpoints.iterdir())
    column = ablated(run, folds=(4,))
    final = Evaluation.from_json(read_json(run / "final/fold-4/evaluation.json"))
    assert column.rows["F-Phantoms"].evaluations[4] == final
    (own,) = (each for each in (run / "ablation").iterdir() if each.is_dir())
    assert own.name == "03D-13D-03D-@0.0625-fold-4", "of the coarse winner alone"
    assert (own / "metrics.jsonl").exists()
    assert load_package(own / "model").design == COARSE
    assert not list((own / "checkpoints").iterdir())
    assert sorted(each.name for each in checkpoints.iterdir()) == left != [], "it can still be extended"


def test_a_deployed_network_without_a_dice_says_so(run, quick) -> None:
    quick.unscored.add((FINE.to_text(), 4))
    deployed(run)
    row = ablated(run, folds=(4,)).rows["F-Phantoms"]
    assert (row.evaluations, row.failures) == ({}, {4: "Dice not measurable: no case shows an organ"})
    assert quick.trained == [(FINE.to_text(), 4), (COARSE.to_text(), 4)]


def test_validations_on_the_way_make_no_other_training(run, monkeypatch) -> None:
    opened = deployed(run)
    quick = quick_training(monkeypatch)
    with_values(opened.config, {"deployment.validate_every": 1}).save(run / "run.yaml")
    deployed(run)
    ablated(run, folds=(4,))
    assert quick.trained == [(COARSE.to_text(), 4)]


def test_an_extended_run_trains_all_of_its_table(run, monkeypatch) -> None:
    opened = deployed(run)
    recipe = opened.config.deployment.recipe
    longer = with_values(opened.config, {"deployment.recipe": recipe.with_iterations(3), "deployment.extended": True})
    longer.save(run / "run.yaml")
    deployed(run)
    quick = quick_training(monkeypatch)
    ablated(run, folds=(4,))
    assert quick.trained == [(COARSE.to_text(), 4), (FINE.to_text(), 4)]
    with_values(longer, {"deployment.recipe": recipe.with_iterations(5)}).save(run / "run.yaml")
    with pytest.raises(UserError, match=r"trained for 3 iterations here.*has 5"):
        ablated(run, folds=(4,))


def test_names_of_what_was_found(prepared, run, tmp_path) -> None:
    empty = shutil.copytree(prepared, tmp_path / "empty")
    second = found(shutil.copytree(prepared, tmp_path / "second"), coarse=OTHER, fine=None)
    assert contenders([run], {}) == {"C-Phantoms": COARSE, "F-Phantoms": FINE}
    assert list(contenders([run, second, empty], {"panc": OTHER})) == [
        "C-Phantoms (first)",
        "F-Phantoms (first)",
        "C-Phantoms (second)",
        "panc",
    ]
    with pytest.raises(UserError, match="it takes two"):
        contenders([second], {})
    for stage, letters in (("fine.candidates", ["C"]), ("coarse.evaluations", ["F"])):
        other = shutil.copytree(run, tmp_path / stage)
        Run.open(other).configure(with_values(Run.open(other).config, {stage: 0}))
        assert [name[0] for name in contenders([other], {"panc": OTHER})] == [*letters, "p"]
    with pytest.raises(UserError, match="another run is called first too"):
        contenders([run, run], {})
    with pytest.raises(UserError, match="F-Phantoms is the name of what a run has found"):
        contenders([run], {"F-Phantoms": OTHER})
    with pytest.raises(UserError, match="not a prepared run"):
        contenders([tmp_path / "nowhere"], {})


def test_the_cases_of_a_patient_are_drawn_together(prepared, run, quick) -> None:
    folds = read_json(run / "folds.json")
    for fold in folds:
        fold["groups"] = {case: f"patient {place // 2}" for place, case in enumerate(fold["validation"])}
    write_json(run / "folds.json", folds)
    table = write_table_3([ablated(run, folds=(0,))], run)
    (pair,) = table["data_sets"][0]["differences"]
    mean = pair["networks"]["mean"]
    assert (mean["cases"], mean["groups"]) == (3, 2)
    assert mean["higher"] is None
    assert (pair["comparison"]["groups"], pair["comparison"]["answer"]) == (2, "cannot tell")


def test_two_runs(prepared, run, quick, tmp_path) -> None:
    """Every architecture on both data sets; a fine stage that kept the 3D operation is the same network."""
    second = found(shutil.copytree(prepared, tmp_path / "second"), coarse=OTHER, fine=OTHER)
    candidates = contenders([run, second], {})
    columns = [ablate(Run.open(each).using(inline()), candidates, (0, 1)) for each in (run, second)]
    table = write_table_3(columns, run)
    assert table == read_json(run / "ablation/table-3.json")
    names = ["C-Phantoms (first)", "F-Phantoms (first)", "C-Phantoms (second)", "F-Phantoms (second)"]
    assert [[row["name"] for row in column["rows"]] for column in table["data_sets"]] == [names, names]
    assert [column["run"] for column in table["data_sets"]] == ["first", "second"]
    assert len(quick.trained) == 2 * 3 * 2, "data sets, different architectures, folds"
    pairs = {(pair["first"], pair["second"]): pair for pair in table["data_sets"][0]["differences"]}
    assert len(pairs) == 6
    same = pairs["F-Phantoms (second)", "C-Phantoms (second)"]
    assert (same["same"], same["comparison"]) == (True, None)
    found_apart = [pair["comparison"] for pair in pairs.values() if not pair["same"]]
    one = pairs["F-Phantoms (first)", "C-Phantoms (first)"]["comparison"]
    assert [one["mean"], *one["interval"]] == pytest.approx([0.02] * 3)
    assert max(each["level"] for each in found_apart) == pytest.approx(1 - 0.05 / 5), "five pairs are tests"


@pytest.mark.parametrize("unfit", ["fewer folds", "fine-tunes", "extended"])
def test_a_run_that_can_be_no_column_is_refused(prepared, run, quick, tmp_path, unfit) -> None:
    second = found(shutil.copytree(prepared, tmp_path / "second"), coarse=OTHER, fine=OTHER)
    refuse_unfit([run, second], "4")
    if unfit == "fewer folds":
        write_json(second / "folds.json", read_json(second / "folds.json")[:3])
    elif unfit == "fine-tunes":
        deployed_otherwise(second, {"deployment.start": "a checksum"})
    else:
        ablate(Run.open(second).using(inline()), {"one": COARSE}, [4])
        recipe = RunConfig.load(second / "run.yaml").deployment.recipe
        deployed_otherwise(second, {"deployment.recipe": recipe.with_iterations(9)})
    with pytest.raises(UserError, match=str(second) if unfit != "fewer folds" else "from 0 to 2"):
        refuse_unfit([run, second], "4")


def deployed_otherwise(run: Path, values: dict[str, object]) -> None:
    with_values(RunConfig.load(run / "run.yaml"), values).save(run / "run.yaml")
