"""Every data set of a folder: each in a run of its own, a failing one told of, and one table over all of them."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fine_run import Listener

import c2fnas
from c2fnas.api import trainings
from c2fnas.data.layouts import datasets_in
from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.metrics import Evaluation
from c2fnas.execution import InlineExecutor
from c2fnas.files import read_json
from c2fnas.inference.package import load_package
from c2fnas.runs.overrides import with_values
from c2fnas.runs.reporter import Reporter, Silent
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages import train as train_module
from c2fnas.stages import training
from c2fnas.stages.deployment import STAGE as DEPLOYMENT
from c2fnas.stages.train import TrainOptions, train_architecture
from c2fnas.studies import tasks as stage
from c2fnas.studies.tasks import keep_table, table_1, task_scores, train_all

SMALL = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")
FOLDS = (0, 4)


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    """Two sound data sets, one with a damaged manifest between them, and a folder that is none."""
    folder = tmp_path_factory.mktemp("decathlon")
    write_phantoms(folder / "Task01", cases=5, test_cases=1)
    (folder / "Task02").mkdir()
    (folder / "Task02/dataset.json").write_text("{")
    write_phantoms(folder / "Task03", cases=5, test_cases=0, seed=1)
    (folder / "notes").mkdir()
    return folder


@pytest.fixture(scope="module")
def trained(collection, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "all"
    rows = train(collection, run, label_tests=True)
    assert [row.failure is None for row in rows] == [True, False, True]
    return run


def train(
    collection: Path,
    run: Path,
    *,
    label_tests: bool = False,
    reporter: Reporter | None = None,
    folds: str = "0,4",
    overrides: Mapping[str, Any] | None = None,
    extend: int | None = None,
):
    overrides = {"deployment.recipe.iterations": 1} if overrides is None else overrides
    return train_all(
        datasets_in(collection),
        Run(run, reporter=reporter),
        TrainOptions(SMALL, folds=folds, overrides=overrides, extend=extend),
        lambda devices: InlineExecutor(devices[0]),
        devices=("cpu",),
        label_tests=label_tests,
    )


def test_what_a_folder_holds(collection) -> None:
    assert [each.name for each in datasets_in(collection)] == ["Task01", "Task02", "Task03"]
    assert datasets_in(collection / "Task01") == datasets_in(collection / "notes") == ()
    assert datasets_in(collection / "Task01/dataset.json") == datasets_in(collection / "nowhere") == ()


def test_the_table_is_the_mean_over_the_folds_cases(trained) -> None:
    assert not (trained / "Task01/timings.json").exists(), "the length was given"
    whole = read_json(trained / "table-1.json")
    first, damaged, last = whole["tasks"]
    assert "unreadable JSON" in damaged["failure"]
    every = []
    for row in (first, last):
        evaluations = [
            Evaluation.from_json(read_json(trained / row["task"] / f"final/fold-{fold}/evaluation.json"))
            for fold in FOLDS
        ]
        assert (row["folds"], row["cases"]) == (list(FOLDS), 2)
        for each in row["classes"]:
            dice = [case.dice[each["name"]] for evaluation in evaluations for case in evaluation.cases]
            assert each["dice"] == pytest.approx(sum(dice) / len(dice))
            every.append(each["dice"])
    assert whole["mean_over_classes"] == pytest.approx(sum(every) / len(every))
    assert whole["mean_over_tasks"] == pytest.approx((first["mean"]["dice"] + last["mean"]["dice"]) / 2)


def test_called_again_it_trains_nothing_and_tries_what_failed(collection, trained, tmp_path) -> None:
    run, mended = shutil.copytree(trained, tmp_path / "run"), shutil.copytree(collection, tmp_path / "mended")
    shutil.rmtree(mended / "Task02")
    write_phantoms(mended / "Task02", cases=5, test_cases=0, seed=2)
    models = {path: path.stat().st_mtime_ns for path in run.glob("Task*/final/fold-*/model/SHA256SUMS")}
    rows = train(mended, run)
    assert [row.failure for row in rows] == [None, None, None]
    assert len(models) == 4
    assert all(path.stat().st_mtime_ns == written for path, written in models.items())
    assert [row.to_json() for row in rows][::2] == read_json(trained / "table-1.json")["tasks"][::2]
    assert read_json(run / "table-1.json") == table_1(rows)


def test_test_images_are_labelled_by_all_folds(collection, trained) -> None:
    predicted = trained / "Task01/predictions"
    images = [image.name for image in (collection / "Task01/imagesTs").iterdir()]
    assert [label.name for label in predicted.glob("*.nii.gz")] == images
    made = read_json(predicted / "prediction.json")
    assert (len(made["models"]), made["vote"]) == (len(FOLDS), "majority")
    assert not (trained / "Task03/predictions").exists()


def test_another_fold_has_its_vote(collection, trained, tmp_path) -> None:
    run, alone = shutil.copytree(trained, tmp_path / "run"), tmp_path / "alone"
    shutil.copytree(collection / "Task01", alone / "Task01")
    label = next((run / "Task01/predictions").glob("*.nii.gz"))
    before = label.stat().st_mtime_ns
    train(alone, run, label_tests=True)
    assert label.stat().st_mtime_ns == before
    train(alone, run, label_tests=True, folds="0,1,4")
    assert label.stat().st_mtime_ns > before
    assert len(read_json(run / "Task01/predictions/prediction.json")["models"]) == 3


def test_a_fault_of_ours_on_one_does_not_stop_the_others(collection, trained, tmp_path, monkeypatch) -> None:
    run, right = shutil.copytree(trained, tmp_path / "run"), stage.train_architecture

    def faulty(own, dataset, *arguments):
        if dataset.name == "Task01":
            raise ZeroDivisionError("somewhere deep")
        return right(own, dataset, *arguments)

    monkeypatch.setattr(stage, "train_architecture", faulty)
    first, _, last = train(collection, run)
    assert "ZeroDivisionError: somewhere deep" in first.failure
    assert "in faulty" in (run / "Task01/traceback.txt").read_text()
    assert last.failure is None


def test_test_images_that_fail_leave_the_scores(collection, trained, tmp_path) -> None:
    run, damaged = shutil.copytree(trained, tmp_path / "run"), tmp_path / "damaged"
    shutil.copytree(collection / "Task01", damaged / "Task01")
    next((damaged / "Task01/imagesTs").iterdir()).write_bytes(b"no image")
    (row,) = train(damaged, run, label_tests=True)
    assert "1 cases could not be labelled" in row.failure
    assert row.to_json()["cases"] == 2


def test_a_request_to_stop_ends_it_between_data_sets(collection, trained, tmp_path, monkeypatch) -> None:
    run, right = shutil.copytree(trained, tmp_path / "run"), stage.train_architecture

    def asked_meanwhile(*arguments):
        (run / "stop").touch()
        return right(*arguments)

    monkeypatch.setattr(stage, "train_architecture", asked_meanwhile)
    with pytest.raises(Interrupted, match="carry on"):
        train(collection, run)
    assert [row["task"] for row in read_json(run / "table-1.json")["tasks"]] == ["Task01"]


class StopsOnce(Silent):
    """Asks the whole run to stop when a fold has been trained, and goes on when the data set's own run hears of it."""

    def __init__(self, run: Path, task: str) -> None:
        self.run, self.task = run, task

    def update(self, stage: str, done: float, note: str = "") -> None:
        """Wait a little: the request is handed on by another thread."""
        if stage != DEPLOYMENT or (self.run / "stop").exists():
            return
        (self.run / "stop").touch()
        end = time.monotonic() + 20
        while not (self.run / self.task / "stop").exists() and time.monotonic() < end:
            time.sleep(0.05)


def test_a_request_to_stop_reaches_the_data_set_under_way(collection, tmp_path) -> None:
    run, alone = tmp_path / "run", tmp_path / "alone"
    shutil.copytree(collection / "Task01", alone / "Task01")
    with pytest.raises(Interrupted, match="carry on"):
        train(alone, run, reporter=StopsOnce(run, "Task01"))
    assert [fold.name for fold in (run / "Task01/final").glob("fold-*")] == ["fold-0"]
    (row,) = train(alone, run)
    assert row.to_json()["folds"] == [0, 4]


def test_a_fold_trained_later_joins_the_vote_of_those_before(collection, trained, tmp_path) -> None:
    run, alone = shutil.copytree(trained, tmp_path / "run"), tmp_path / "alone"
    shutil.copytree(collection / "Task01", alone / "Task01")
    train(alone, run, label_tests=True, folds="1")
    assert len(read_json(run / "Task01/predictions/prediction.json")["models"]) == 3


def test_folds_that_an_extension_left_behind_have_no_vote(collection, trained, tmp_path) -> None:
    run, alone = shutil.copytree(trained, tmp_path / "run"), tmp_path / "alone"
    shutil.copytree(collection / "Task01", alone / "Task01")
    train(alone, run, label_tests=True, folds="4", overrides={}, extend=2)
    (voter,) = read_json(run / "Task01/predictions/prediction.json")["models"]
    assert voter == load_package(run / "Task01/final/fold-4/model").checksum


def test_data_sets_keep_the_devices_that_they_were_begun_with(collection, tmp_path, monkeypatch) -> None:
    """Of several data sets as of one, where none are named any more."""
    alone = tmp_path / "alone"
    shutil.copytree(collection / "Task01", alone / "Task01")
    monkeypatch.setattr(train_module, "deploy", interrupted)
    for named in ({"devices": "cpu:0,cpu:1"}, {}):
        with pytest.raises(Interrupted):
            trainings.train(alone, tmp_path / "run", architecture=SMALL.to_text(), iterations=1, **named)
        assert Run.open(tmp_path / "run/Task01").config.devices == ("cpu:0", "cpu:1")


def interrupted(*_: Any) -> None:
    raise Interrupted("stopped")


def test_a_data_set_that_was_given_as_a_dot_has_a_name(trained, tmp_path) -> None:
    run = Run.open(shutil.copytree(trained / "Task03", tmp_path / "run"))
    assert c2fnas.open_run(run.folder.root).scores.name == "Task03"
    run.configure(with_values(run.config, {"dataset_path": "."}))
    assert c2fnas.open_run(run.folder.root).scores.name == run.config.dataset


def test_one_data_set_of_several_folds_is_a_row_too(collection, trained, tmp_path) -> None:
    own = Run(shutil.copytree(trained / "Task03", tmp_path / "run"))
    deployed = train_architecture(own, collection / "Task03", TrainOptions(folds="0,4"), lambda _: InlineExecutor())
    row = read_json(trained / "table-1.json")["tasks"][2]
    assert task_scores("Task03", deployed).to_json() == row
    assert read_json(keep_table([task_scores("Task03", deployed)], own.folder.root))["tasks"] == [row]
    assert task_scores("Task03", deployed, "no test image").failure == "no test image"


def test_folds_without_a_dice_are_left_out_and_their_models_kept(collection, tmp_path, monkeypatch) -> None:
    """One of two; then both, which is a row without scores that says why."""
    alone, right, said = tmp_path / "alone", training.evaluate_network, Listener()
    shutil.copytree(collection / "Task01", alone / "Task01")
    unscored = [(0,), (0, 4)]

    def evaluated(network, cases, *rest, **options):
        own = Run.open(tmp_path / f"run-{len(unscored)}/Task01")
        if {case.id for case in cases} <= {id for fold in unscored[0] for id in own.folds[fold].validation}:
            raise UserError("no case shows an organ")
        return right(network, cases, *rest, **options)

    monkeypatch.setattr(training, "evaluate_network", evaluated)
    (row,) = train(alone, tmp_path / "run-2", reporter=said)
    assert row.failure is None
    assert row.scores is not None
    assert row.scores.folds == (4,)
    assert any("fold 0: the model is kept. Dice not measurable: no case shows" in text for text in said.said)
    unscored.pop(0)
    (row,) = train(alone, tmp_path / "run-1", label_tests=True)
    assert row.scores is None
    assert "Dice was not measurable on any fold; the models are kept." in (row.failure or "")
    assert table_1([row])["mean_over_tasks"] is None
    folder = tmp_path / "run-1/Task01"
    assert [load_package(folder / f"final/fold-{fold}/model").design for fold in FOLDS] == [SMALL, SMALL]
    assert len(read_json(folder / "predictions/prediction.json")["models"]) == 2, "they have their votes"
