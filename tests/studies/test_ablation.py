"""Table 3: what runs have found, trained alike on each run's data, fold by fold; what deployment did is kept."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from c2fnas.studies.ablation_table import write_table_3
from fine_run import inline, phantoms, prepared_run
from typer.testing import CliRunner

from c2fnas.cli import app
from c2fnas.cli.text_studies import ablation as in_words
from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.metrics import CaseScores, Evaluation, summarise
from c2fnas.execution import InlineExecutor
from c2fnas.files import read_json, write_json
from c2fnas.inference.package import load_package
from c2fnas.runs.config import RunConfig
from c2fnas.runs.ledger import Ledger
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Setting
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.stages.deploy import train_final
from c2fnas.studies import ablation_job as ablate_job
from c2fnas.studies.ablation import STAGE, ablate, contenders

COARSE = Architecture.from_text("0:3D 1:3D 0:3D @0.0625")
FINE = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")
OTHER = Architecture.from_text("0:2D 0:2D 0:3D @0.5")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    return prepared_run(folder, phantoms(folder)).folder.root


@pytest.fixture
def run(prepared, tmp_path) -> Path:
    """A run that has found both its architectures."""
    return found(shutil.copytree(prepared, tmp_path / "first"))


def found(run: Path, coarse: Architecture = COARSE, fine: Architecture | None = FINE) -> Path:
    write_json(run / "coarse/architecture.json", coarse.to_json())
    if fine is not None:
        write_json(run / "fine/architecture.json", fine.to_json())
    return run


@dataclass
class Quick:
    """Training left out: Dice is 0.5, 0.01 more for each cell that is not 3D, and 0.1 more for each fold."""

    trained: list[tuple[str, int]] = field(default_factory=list)
    failing: set[tuple[str, int]] = field(default_factory=set)
    stopping: set[tuple[str, int]] = field(default_factory=set)

    def train_fold(self, payload, folder, device):
        """Leaves an evaluation; notes what was asked."""
        architecture, setting = Architecture.from_json(payload["architecture"]), Setting.load(folder / payload["run"])
        asked = architecture.to_text(), payload["fold"]
        if asked in self.failing:
            raise ArithmeticError("the loss is nan")
        if asked in self.stopping:
            raise Interrupted("stopped")
        dice = 0.5 + 0.01 * sum(str(each) != "3D" for each in architecture.operations) + 0.1 * payload["fold"]
        cases = setting.folds[payload["fold"]].validation
        evaluation = summarise([CaseScores(case, {"organ": dice, "lesion": None}) for case in cases])
        write_json(folder / "evaluation.json", evaluation.to_json())
        self.trained.append(asked)
        return {"dice": evaluation.mean, "per_class": evaluation.per_class}


@pytest.fixture
def quick(monkeypatch) -> Quick:
    quick = Quick()
    monkeypatch.setattr(ablate_job, "train_fold", quick.train_fold)
    return quick


def ablated(run: Path, folds=(0, 1), **further):
    return ablate(Setting.load(run), inline(), Silent(), candidates=contenders([run], further), folds=folds)


def test_coarse_against_fine(run, quick) -> None:
    column = ablated(run, folds=(0, 1, 2))
    assert list(column.rows) == ["C-Phantoms", "F-Phantoms"]
    assert quick.trained == [(each.to_text(), fold) for fold in (0, 1, 2) for each in (COARSE, FINE)]
    setting = Setting.load(run)
    for name, architecture in (("C-Phantoms", COARSE), ("F-Phantoms", FINE)):
        row = column.rows[name]
        cost = network_cost(
            architecture, in_channels=setting.in_channels, classes=setting.classes, input_size=setting.plan.patch_size
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
    assert pair["difference"]["mean"]["mean"] == pytest.approx(0.02)
    assert pair["difference"]["mean"]["cases"] == 9
    assert pair["difference"]["mean"]["better"] == "first"


def test_called_again_it_trains_nothing_and_further_ones_join(run, quick) -> None:
    first = ablated(run, folds=(0,))
    assert ablated(run, folds=(0,)) == first
    more = ablated(run, folds=(0, 1), panc=OTHER)
    here = Architecture.from_text("0:2D 0:2D 0:3D @0.0625")
    assert more.rows["panc"].architecture == here, "in the run's width"
    assert sorted(quick.trained) == sorted((each.to_text(), fold) for each in (COARSE, FINE, here) for fold in (0, 1))
    assert more.rows["F-Phantoms"].evaluations[0] == first.rows["F-Phantoms"].evaluations[0]


def test_stopped_in_the_middle_it_goes_on_under_the_same_number(run, quick) -> None:
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
    assert table["differences"][0]["difference"]["mean"]["cases"] == 3
    quick.failing.add((FINE.to_text(), 2))
    nothing = write_table_3([ablated(run, folds=(0, 2))], run)["data_sets"][0]
    assert "mean" not in nothing["rows"][1]
    assert nothing["differences"][0]["difference"] is None


def test_what_deployment_has_trained_counts(run) -> None:
    """Trained for real: the same evaluation, no second training; and the others are trained as deployment does."""
    setting = Setting.load(run)
    with InlineExecutor("cpu") as executor:
        train_final(setting, FINE, [4], executor, Silent())
    column = ablated(run, folds=(4,))
    final = Evaluation.from_json(read_json(run / "final/fold-4/evaluation.json"))
    assert column.rows["F-Phantoms"].evaluations[4] == final
    assert not (run / "ablation/0001/metrics.jsonl").exists()
    assert (run / "ablation/0000/metrics.jsonl").exists()
    assert load_package(run / "ablation/0000/model").design == COARSE
    assert not list((run / "ablation/0000/checkpoints").iterdir())


def test_an_extended_run_is_trained_anew(run, quick) -> None:
    setting = Setting.load(run)
    with InlineExecutor("cpu") as executor:
        train_final(setting, FINE, [4], executor, Silent())
    deployment = setting.config.deployment
    longer = deployment.model_copy(update={"recipe": deployment.recipe.with_iterations(3), "extended": True})
    setting.config.model_copy(update={"deployment": longer}).save(run / "run.yaml")
    with InlineExecutor("cpu") as executor:
        train_final(Setting.load(run), FINE, [4], executor, Silent())
    ablated(run, folds=(4,))
    assert quick.trained == [(COARSE.to_text(), 4), (FINE.to_text(), 4)]
    again = longer.model_copy(update={"recipe": deployment.recipe.with_iterations(5)})
    RunConfig.load(run / "run.yaml").model_copy(update={"deployment": again}).save(run / "run.yaml")
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
    mean = table["data_sets"][0]["differences"][0]["difference"]["mean"]
    assert (mean["cases"], mean["groups"]) == (3, 2)
    assert "on 3 cases of 2 groups, no gain shown" in in_words(table)


def test_two_runs_from_the_command_line(prepared, run, quick, tmp_path, monkeypatch) -> None:
    """Every architecture on both data sets; a fine stage that kept the 3D operation is the same network."""
    monkeypatch.setattr("c2fnas.execution.LocalProcessExecutor", lambda devices: inline())
    second = found(shutil.copytree(prepared, tmp_path / "second"), coarse=OTHER, fine=OTHER)
    arguments = ["ablate", str(run), str(second), "--folds", "0,1", "--quiet"]
    printed = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert printed.exit_code == 0, printed.output
    table = json.loads(printed.output)
    assert table == read_json(run / "ablation/table-3.json")
    names = ["C-Phantoms (first)", "F-Phantoms (first)", "C-Phantoms (second)", "F-Phantoms (second)"]
    assert [[row["name"] for row in column["rows"]] for column in table["data_sets"]] == [names, names]
    assert len(quick.trained) == 2 * 3 * 2, "data sets, different architectures, folds"
    text = CliRunner().invoke(app, arguments, catch_exceptions=False).output
    assert "F-Phantoms (second) less C-Phantoms (second): the same network." in text
    assert "F-Phantoms (first) less C-Phantoms (first): +2.00 (+2.00 to +2.00) on 6 cases" in text
    assert "57.00" in text
    assert len(quick.trained) == 12
    wrong = CliRunner().invoke(app, [*arguments[:3], "--folds", "9"])
    assert isinstance(wrong.exception, UserError)


@pytest.mark.parametrize("unfit", ["fewer folds", "fine-tunes", "extended"])
def test_a_run_that_can_be_no_column_is_refused_before_the_first_is_trained(
    prepared, run, quick, tmp_path, monkeypatch, unfit
) -> None:
    monkeypatch.setattr("c2fnas.execution.LocalProcessExecutor", lambda devices: inline())
    second = found(shutil.copytree(prepared, tmp_path / "second"), coarse=OTHER, fine=OTHER)
    if unfit == "fewer folds":
        write_json(second / "folds.json", read_json(second / "folds.json")[:3])
    elif unfit == "fine-tunes":
        deployed_otherwise(second, start="a checksum")
    else:
        ablate(Setting.load(second), inline(), Silent(), candidates={"one": COARSE}, folds=[4])
        deployed_otherwise(second, recipe=RunConfig.load(second / "run.yaml").deployment.recipe.with_iterations(9))
        quick.trained.clear()
    with pytest.raises(UserError, match=str(second) if unfit != "fewer folds" else "from 0 to 2"):
        CliRunner().invoke(app, ["ablate", str(run), str(second), "--folds", "4", "--quiet"], catch_exceptions=False)
    assert quick.trained == []


def deployed_otherwise(run: Path, **changes: object) -> None:
    config = RunConfig.load(run / "run.yaml")
    config.model_copy(update={"deployment": config.deployment.model_copy(update=changes)}).save(run / "run.yaml")


def test_a_later_column_that_stops_leaves_the_table_of_those_before(
    prepared, run, quick, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("c2fnas.execution.LocalProcessExecutor", lambda devices: inline())
    second = found(shutil.copytree(prepared, tmp_path / "second"), coarse=OTHER, fine=None)
    right = quick.train_fold

    def stopped_in_the_second(payload, folder, device):
        if second in folder.parents:
            raise Interrupted("stopped")
        return right(payload, folder, device)

    monkeypatch.setattr(ablate_job, "train_fold", stopped_in_the_second)
    stopped = CliRunner().invoke(app, ["ablate", str(run), str(second), "--folds", "0", "--quiet"])
    assert isinstance(stopped.exception, Interrupted)
    (column,) = read_json(run / "ablation/table-3.json")["data_sets"]
    assert [len(row["folds"]) for row in column["rows"]] == [1, 1, 1]


def test_files_of_one_name_are_told_apart(run, quick, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("c2fnas.execution.LocalProcessExecutor", lambda devices: inline())
    files = [tmp_path / "a/architecture.json", tmp_path / "b/architecture.json", tmp_path / "other.json"]
    for file, each in zip(files, (COARSE, FINE, OTHER), strict=True):
        write_json(file, each.to_json())
    arguments = ["ablate", str(run), "--folds", "0", "--quiet", "--json"]
    given = [part for file in files for part in ("-a", str(file))]
    printed = CliRunner().invoke(app, [*arguments, *given], catch_exceptions=False)
    rows = {row["name"]: row["architecture"] for row in json.loads(printed.output)["data_sets"][0]["rows"]}
    assert rows == {
        "C-Phantoms": COARSE.to_text(),
        "F-Phantoms": FINE.to_text(),
        str(files[0]): COARSE.to_text(),
        str(files[1]): FINE.to_text(),
        "other": "0:2D 0:2D 0:3D @0.0625",
    }
    with pytest.raises(UserError, match="given twice"):
        CliRunner().invoke(app, [*arguments, *given[:2], *given[:2]], catch_exceptions=False)
