"""The commands of studies: ablate, verdict, search scale, tabulate, and train on every data set of a folder."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fine_run import inline, phantoms, prepared_run
from study_runs import BUDGET, COARSE, FINE, OTHER, QuickFolds, QuickWidths, found, searched_run
from tabulated import Answers
from typer.testing import CliRunner

from c2fnas.api.results import Scaling
from c2fnas.bench import read_table
from c2fnas.cli import app, text_studies
from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.evaluation.verdict import Verdict
from c2fnas.execution import InlineExecutor
from c2fnas.files import read_json, write_json
from c2fnas.runs.overrides import with_values
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages import training
from c2fnas.stages.train import TrainOptions
from c2fnas.studies.ablation import ablate, contenders, write_table_3
from c2fnas.studies.tasks import TaskScores, train_all
from c2fnas.studies.verdict import judge
from c2fnas.studies.widths import Scaled, search_width

SMALL = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")


@pytest.fixture(autouse=True)
def executors(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The devices that executors were asked for; each works in this process."""
    asked: list[tuple[str, ...]] = []

    def executor(devices: tuple[str, ...], *rest: object, **options: object) -> InlineExecutor:
        asked.append(tuple(devices))
        return inline()

    monkeypatch.setattr("c2fnas.execution.LocalProcessExecutor", executor)
    return asked


def called(*arguments: object) -> Any:
    return CliRunner().invoke(app, [*map(str, arguments), "--quiet"], catch_exceptions=False)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    return prepared_run(folder, phantoms(folder)).folder.root


@pytest.fixture
def run(prepared: Path, tmp_path: Path) -> Path:
    """A run that has found both its architectures."""
    return found(shutil.copytree(prepared, tmp_path / "first"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> QuickFolds:
    quick = QuickFolds()
    quick.install(monkeypatch)
    return quick


@pytest.fixture
def widths(monkeypatch: pytest.MonkeyPatch) -> QuickWidths:
    quick = QuickWidths()
    quick.install(monkeypatch)
    return quick


@pytest.mark.long
def test_ablate_two_runs(prepared: Path, run: Path, quick: QuickFolds, tmp_path: Path) -> None:
    """The table is printed as it is kept, and as text; tests/studies/test_ablation.py says what it holds."""
    second = found(shutil.copytree(prepared, tmp_path / "second"), coarse=OTHER, fine=OTHER)
    arguments = ["ablate", run, second, "--folds", "0,1"]
    printed = called(*arguments, "--json")
    assert printed.exit_code == 0, printed.output
    table = json.loads(printed.stdout)
    assert table == read_json(run / "ablation/table-3.json")
    text = called(*arguments).stdout
    assert "F-Phantoms (second) and C-Phantoms (second): the same network." in text
    assert "F-Phantoms (first) cannot be told from C-Phantoms (first): Dice +0.0200" in text
    assert "57.00" in text
    assert len(quick.trained) == 2 * 3 * 2, "data sets, different architectures, folds: none of them twice"
    with pytest.raises(UserError, match="--folds 9"):
        called(*arguments[:3], "--folds", "9")


def test_table_3_tells_of_groups_and_of_failures(run: Path, quick: QuickFolds) -> None:
    folds = read_json(run / "folds.json")
    for fold in folds:
        fold["groups"] = {case: f"patient {place // 2}" for place, case in enumerate(fold["validation"])}
    write_json(run / "folds.json", folds)
    quick.failing.add((FINE.to_text(), 1))
    column = ablate(Run.open(run).using(inline()), contenders([run], {}), (0, 1))
    text = text_studies.ablation(write_table_3([column], run))
    assert "F-Phantoms less C-Phantoms, these two trained networks alone, over cases: Dice +0.0200" in text
    assert "F-Phantoms on fold 1 failed: ArithmeticError: the loss is nan" in text


def test_a_run_that_can_be_no_column_is_refused_before_the_first_is_trained(
    prepared: Path, run: Path, quick: QuickFolds, tmp_path: Path
) -> None:
    """One of the runs that tests/studies/test_ablation.py has refused."""
    second = found(shutil.copytree(prepared, tmp_path / "second"), coarse=OTHER, fine=OTHER)
    with_values(Run.open(second).config, {"deployment.start": "a checksum"}).save(second / "run.yaml")
    with pytest.raises(UserError, match=str(second)):
        called("ablate", run, second, "--folds", "4")
    assert quick.trained == []


@pytest.mark.long
def test_a_later_column_that_stops_leaves_the_table_of_those_before(
    prepared: Path, run: Path, quick: QuickFolds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = found(shutil.copytree(prepared, tmp_path / "second"), coarse=OTHER, fine=None)

    def stopped_in_the_second(run: Run, spec: Any, folder: Path, device: str, **options: Any) -> Any:
        if second in folder.parents:
            raise Interrupted("stopped")
        return quick.train_and_score(run, spec, folder, device, **options)

    monkeypatch.setattr(training, "train_and_score", stopped_in_the_second)
    with pytest.raises(Interrupted):
        called("ablate", run, second, "--folds", "0")
    (column,) = read_json(run / "ablation/table-3.json")["data_sets"]
    assert [len(row["folds"]) for row in column["rows"]] == [1, 1, 1]


def test_files_of_one_name_are_told_apart(run: Path, quick: QuickFolds, tmp_path: Path) -> None:
    files = [tmp_path / "a/architecture.json", tmp_path / "b/architecture.json", tmp_path / "other.json"]
    for file, each in zip(files, (COARSE, FINE, OTHER), strict=True):
        write_json(file, each.to_json())
    arguments = ["ablate", run, "--folds", "0", "--json"]
    given = [part for file in files for part in ("-a", file)]
    printed = called(*arguments, *given)
    rows = {row["name"]: row["architecture"] for row in json.loads(printed.stdout)["data_sets"][0]["rows"]}
    assert rows == {
        "C-Phantoms": COARSE.to_text(),
        "F-Phantoms": FINE.to_text(),
        str(files[0]): COARSE.to_text(),
        str(files[1]): FINE.to_text(),
        "other": "0:2D 0:2D 0:3D @0.0625",
    }
    with pytest.raises(UserError, match="given twice"):
        called(*arguments, *given[:2], *given[:2])


def test_table_4_prints_what_the_rows_hold() -> None:
    row = Scaled(0.25, (96, 96, 96), 1_100_000, 9_900_000_000, 0.5963, {"pancreas": 0.7924, "tumour": None}, None)
    head, line = (each.split() for each in text_studies.scaling(Scaling((row,))).splitlines())
    assert head == ["width", "patch", "pancreas", "tumour", "mean", "params", "(M)", "MACs", "(G)"]
    assert line == ["0.25", "96×96×96", "79.24", "–", "59.63", "1.10", "9.90"]


def test_table_4_tells_how_seeds_differ_where_there_are_several() -> None:
    row = Scaled(0.25, (96, 96, 96), 1_100_000, 9_900_000_000, 0.59, {"pancreas": 0.59}, trainings=3, spread=0.012)
    head, line = text_studies.scaling(Scaling((row,))).splitlines()
    assert "mean  ± seeds  seeds  params (M)" in head
    assert line.split() == ["0.25", "96×96×96", "59.00", "59.00", "1.20", "3", "1.10", "9.90"]


def test_table_4_tells_why_a_width_has_no_dice(run: Path, widths: QuickWidths) -> None:
    widths.failing.add(0.5)
    opened = Run.open(run).using(inline())
    rows = search_width(opened, widths=(0.25, 0.5), architecture=SMALL)
    patch = "×".join(map(str, opened.plan.patch_size))
    assert f"width 0.5, patch {patch}, failed: " in text_studies.scaling(Scaling(rows))


def test_scale_prints_every_row_and_trains_on_the_devices_asked_for(
    run: Path, widths: QuickWidths, executors: list[tuple[str, ...]]
) -> None:
    for width in ("0.25", "0.125"):
        arguments = ["--widths", width, "--devices", "cpu:0,cpu:1", "-a", SMALL.to_text()]
        printed = called("search", "scale", run, *arguments)
    assert executors == [("cpu:0", "cpu:1")] * 2
    lines = printed.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["width", "0.125", "0.25"]
    assert lines[3].startswith("Width 0.25, patch 24×24×24 cannot be told from Width 0.125, patch 24×24×24: Dice +0.03")
    assert "these two trained networks alone, over cases" in lines[4]


@pytest.mark.long
def test_widths_trained_for_real(run: Path) -> None:
    arguments = ["search", "scale", run, "-a", SMALL.to_text(), "--json", "--devices", "cpu"]
    arguments += ["--widths", "0.03125,0.0625"]
    result = called(*arguments)
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [row["width"] for row in rows] == [0.03125, 0.0625]
    assert all(0 <= row["dice"] <= 1 for row in rows)
    assert "<svg" in (run / "report/scaling.svg").read_text()
    assert json.loads(called(*arguments).stdout)["rows"] == rows


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Verdict]:
    run = searched_run(tmp_path_factory.mktemp("verdict"))
    return run, judge(run.using(inline()))


def test_verdict_shows_it(judged: tuple[Run, Verdict]) -> None:
    run, verdict = judged
    assert json.loads(called("verdict", run.folder.root, "--json").stdout) == verdict.to_json()
    shown = called("verdict", run.folder.root).stdout
    assert text_studies.verdict(verdict) in shown
    assert all(sentence in shown for sentence in (*verdict.sentences, *verdict.about_networks))
    assert json.loads(called("verdict", run.folder.root, "--replicates", 1, "--json").stdout)["replicates"] == 1
    for wrong in (("--replicates", "0"), ("--margin", "0"), ("--margin", "1")):
        with pytest.raises(UserError, match=wrong[0]):
            called("verdict", run.folder.root, *wrong)
    for each in verdict.references:
        assert each.network is not None
        assert f"{each.network.title}: {each.note}." in shown


def test_a_reference_without_a_dice_has_a_dash(judged: tuple[Run, Verdict]) -> None:
    verdict = judged[1].to_json()
    verdict["references"][0]["network"] |= {"dice": None, "per_class": None}
    verdict["references"][0] |= {"comparison": None, "networks": None, "reason": "it could not be trained"}
    assert "–" in text_studies.verdict(Verdict.from_json(verdict))


@pytest.mark.long
def test_run_ends_with_the_verdict(tmp_path: Path) -> None:
    (tmp_path / "budget.yaml").write_text(BUDGET)
    dataset, run = write_phantoms(tmp_path / "Task00", cases=5, test_cases=0), tmp_path / "run"
    call = ["run", dataset, "--run", run, "--budget", tmp_path / "budget.yaml", "--devices", "cpu"]
    shown = CliRunner().invoke(app, [*map(str, call)], catch_exceptions=False).output
    verdict = Verdict.from_json(read_json(run / "verdict/verdict.json"))
    assert text_studies.verdict(verdict) in shown
    assert "a U-Net of equal multiply-accumulates and 1 other reference, trained alike" in shown
    assert verdict.searched.dice == Evaluation.from_json(read_json(run / "final/fold-4/evaluation.json")).mean
    with pytest.raises(UserError, match="--no-verdict"):
        called(*call, "--no-verdict")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sound data sets and one with a damaged manifest between them."""
    folder = tmp_path_factory.mktemp("decathlon")
    write_phantoms(folder / "Task01", cases=5, test_cases=1)
    (folder / "Task02").mkdir()
    (folder / "Task02/dataset.json").write_text("{")
    write_phantoms(folder / "Task03", cases=5, test_cases=0, seed=1)
    return folder


@pytest.fixture(scope="module")
def trained(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "all"
    options = TrainOptions(SMALL, folds="0,4", overrides={"deployment.recipe.iterations": 1})
    train_all(sorted(collection.iterdir()), Run(run), options, lambda devices: inline(), devices=("cpu",))
    return run


def test_train_on_one_data_set_shows_a_table_of_several_folds(collection: Path, trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained / "Task03", tmp_path / "run")
    arguments = ["train", collection / "Task03", "--run", run, "--devices", "cpu"]
    shown = called(*arguments, "--folds", "0,4").stdout
    row = read_json(trained / "table-1.json")["tasks"][2]
    assert ["mean", *_percent(row["mean"]["dice"], row["mean"]["spread"], *row["mean"]["folds"])] in [
        line.split() for line in shown.splitlines()
    ]
    assert "mean over" not in shown, "of one data set it would be the same figure"
    assert f"the models are in {run / 'final'}" in shown
    assert read_json(run / "table-1.json")["tasks"] == [row]
    assert "fold-4: Dice organ" in called(*arguments, "--folds", "4").stdout


def test_train_on_a_folder_of_data_sets(collection: Path, trained: Path, tmp_path: Path) -> None:
    """What is finished there is only shown; the damaged data set makes the exit code 1."""
    run = shutil.copytree(trained, tmp_path / "run")
    arguments = ["train", collection, "--run", run, "--folds", "0,4", "--devices", "cpu"]
    shown = called(*arguments)
    assert shown.exit_code == 1
    lines = [line.split() for line in shown.stdout.splitlines()]
    whole = read_json(trained / "table-1.json")
    organ = whole["tasks"][0]["classes"][0]
    assert ["Task01", "organ", *_percent(organ["dice"], organ["spread"], *organ["folds"]), "2"] in lines
    assert ["Task02", "failed", "–"] in lines
    assert ["mean", "over", "tasks", *_percent(whole["mean_over_tasks"])] in lines
    assert json.loads(called(*arguments, "--json").stdout) == read_json(run / "table-1.json")
    single = called("train", collection / "Task03", "--run", run / "Task03", *arguments[4:], "--json")
    assert single.exit_code == 0, single.output
    assert json.loads(single.stdout)["tasks"] == whole["tasks"][2:]


def test_test_images_that_could_not_be_labelled_are_told_of(trained: Path) -> None:
    assert "2 cases could not be labelled" in text_studies.table_1(
        [TaskScores("a", None, "2 cases could not be labelled")]
    )


def test_table_1_says_that_it_is_in_per_cent() -> None:
    assert "Dice in %" in text_studies.table_1([TaskScores("a", None)]).splitlines()[0]


def test_a_network_of_every_case_has_not_failed() -> None:
    row = next(line for line in text_studies.table_1([TaskScores("a", None)]).splitlines() if line.startswith("a "))
    assert "failed" not in row
    assert "no case left to score" in row


def _percent(*values: float) -> list[str]:
    return [f"{100 * value:.2f}" for value in values]


def test_a_table_is_filled_call_by_call(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 8 clusters 3 topologies each, one of them with 4 seeds of which one fails: 48 trainings of 24 topologies."""
    executors, table = [Answers(), Answers(), Answers()], tmp_path / "table.csv"
    left = iter(executors)
    monkeypatch.setattr("c2fnas.execution.LocalProcessExecutor", lambda *_, **options: next(left))
    arguments = ["tabulate", run, "--table", table, "--per-cluster", 3, "--repeated", 1, "--seeds", 4]
    arguments += ["--iterations", 30]
    printed = called(*arguments, "--most", 2, "--json")
    assert json.loads(printed.stdout) == {"table": str(table), "trainings": 2, "topologies": 2, "missing": 46}
    assert [(row.cluster, row.seed, row.dice) for row in read_table(table)] == [(0, 0, 0.5), (1, 0, 0.5)]
    setting = read_json(tmp_path / "table.json")["setting"]
    assert (setting["iterations"], setting["rungs"]) == (30, [9, 19])
    sentence = f"{table}: 48 trainings of 24 topologies; 0 are missing.\n"
    assert [called(*arguments).stdout for _ in range(2)] == [sentence, sentence]
    assert [len(each.asked) for each in executors] == [2, 46, 0]
    rows = read_table(table)
    assert Counter((row.cluster, row.seed) for row in rows) == {
        (cluster, seed): 3 if seed == 0 else 1 for cluster in range(8) for seed in range(4)
    }
    assert {row.seed for row in rows if row.dice is None} == {2}
