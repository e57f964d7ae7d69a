"""A final network trained on every case: kept, voted with, and never scored on what it was trained on."""

import json
import shutil
from pathlib import Path

import nibabel
import pytest

import c2fnas
from c2fnas.data.folds import EVERY_CASE, UNKNOWN, chosen_folds, scored_folds
from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import UserError
from c2fnas.execution import InlineExecutor
from c2fnas.inference.pretrained import model_folders
from c2fnas.runs.overrides import with_values
from c2fnas.runs.run import Run
from c2fnas.runs.summary import read_summary
from c2fnas.space.architecture import Architecture
from c2fnas.stages.deployment import Deployed, trained_folds
from c2fnas.stages.pipeline import run_pipeline
from c2fnas.stages.train import TrainOptions, train_architecture
from c2fnas.studies.label_test import _options, label_test_images
from c2fnas.studies.verdict import judge

TINY = str(Path(__file__).parents[1] / "support" / "tiny.yaml")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("data") / "Task00", cases=5, test_cases=1)


def trained(run: Path, dataset: Path, folds: str, iterations: int = 2) -> Deployed:
    overrides = {"deployment.recipe.iterations": iterations, "deployment.validate_every": 1}
    options = TrainOptions(Architecture.from_text("0:3D @0.0625"), folds=folds, overrides=overrides)
    return train_architecture(Run(run), dataset, options, lambda devices: InlineExecutor(devices[0]), ("cpu",))


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    trained(folder, dataset, EVERY_CASE)
    return folder


def test_it_trains_on_every_case_and_is_scored_on_none(run: Path, dataset: Path) -> None:
    opened = Run(run)
    assert opened.final_folds == (EVERY_CASE,) == trained_folds(opened)
    split = opened.split(EVERY_CASE)
    assert split.training == tuple(each.id for each in opened.fingerprint.cases)
    assert {*split.training} == {*opened.folds[0].training, *opened.folds[0].validation}
    assert split.validation == ()
    folder = opened.folder.final_fold(EVERY_CASE)
    assert not (folder / "evaluation.json").exists()
    assert json.loads((folder / "result.json").read_text())["value"]["unscored"] == UNKNOWN
    assert all("dice" not in line for line in (folder / "metrics.jsonl").read_text().splitlines())


def test_trained_once_it_stays_as_it_is(run: Path, dataset: Path) -> None:
    """That no case scores it is no failure, and nothing that another call could put right."""
    folder = Run(run).folder.final_fold(EVERY_CASE)
    files = [folder / "result.json", *(folder / "model").iterdir()]
    before = [file.stat().st_mtime_ns for file in files]
    trained(run, dataset, EVERY_CASE)
    assert [file.stat().st_mtime_ns for file in files] == before
    (stage,) = (each for each in read_summary(run).stages if each.name == "deployment")
    assert (stage.failed, stage.done) == (0, 1)


def test_its_dice_is_said_to_be_unknown(run: Path) -> None:
    model = Run(run).folder.final_model(EVERY_CASE)
    assert f"- **Validation**: {UNKNOWN}" in (model / "README.md").read_text()
    assert "5 training cases" in (model / "README.md").read_text()
    assert c2fnas.describe(run).validation == c2fnas.describe(model).validation == {"fold-every-case": UNKNOWN}
    summary = read_summary(run)
    assert summary.evaluation is None
    assert summary.finished
    page = c2fnas.open_run(run).report(device="cpu").read_text()
    assert "on every case (its Dice stays unknown)" in page
    assert c2fnas.open_run(run).to_json()["tasks"][0].keys() == {"task", "failure"}


def test_folds_join_it_and_all_vote(run: Path, dataset: Path) -> None:
    found = trained(run, dataset, "last,every-case")
    assert found.folds == (4, EVERY_CASE)
    assert [evaluation is None for evaluation in found.evaluations] == [False, True]
    assert model_folders([run]) == [*found.models]
    model = c2fnas.load_model(run)
    assert len(model.packages) == 2
    image = next((dataset / "imagesTs").iterdir())
    assert model.predict(image, device="cpu").shape == nibabel.load(image).shape
    output = label_test_images(Run(run), dataset, "cpu")
    assert output is not None
    assert len(json.loads((output / "prediction.json").read_text())["models"]) == 2
    assert c2fnas.describe(run).validation.keys() == {"fold-4", "fold-every-case"}


def test_a_head_without_a_gpu_labels_the_test_images_of_a_run_on_gpus(
    run: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the driver of a cluster is, whose jobs have trained on GPUs."""
    monkeypatch.setattr("c2fnas.devices.DRIVERS", ())
    head = Run(shutil.copytree(run, tmp_path / "run"))
    head.configure(with_values(head.config, {"devices": ("cuda:0",)}))
    output = label_test_images(Run(head.folder.root), dataset, head.config.devices[0])
    assert output is not None
    assert {each.name for each in output.glob("*.nii.gz")} == {each.name for each in (dataset / "imagesTs").iterdir()}


@pytest.mark.parametrize(
    ("trained_in", "able", "precision"), [("bf16", True, "bf16"), ("bf16", False, "fp32"), ("fp16", True, "fp32")]
)
def test_a_head_without_a_gpu_labels_in_a_precision_that_it_has(
    run: Path, monkeypatch: pytest.MonkeyPatch, trained_in: str, able: bool, precision: str
) -> None:
    monkeypatch.setattr("c2fnas.devices.DRIVERS", ())
    monkeypatch.setattr("c2fnas.training.precision._cpu_multiplies_bf16", lambda: able)
    config = with_values(Run(run).config, {"deployment.recipe.precision": trained_in})
    found = _options(Run(run, config=config), "cuda:0")
    assert (found.device, found.precision) == ("cpu", precision)
    assert _options(Run(run, config=config), "cpu:0").precision == trained_in


@pytest.mark.long
def test_a_search_trains_one_besides_and_its_verdict_leaves_it_out(dataset: Path, tmp_path: Path) -> None:
    overrides = {"deployment.folds": ("last", EVERY_CASE), "verdict": True}

    def go() -> object:
        return run_pipeline(
            Run(tmp_path / "run"),
            dataset,
            lambda devices: InlineExecutor(devices[0]),
            budget=TINY,
            overrides=overrides,
            devices=("cpu",),
            judge=judge,
        )

    result = go()
    assert result.deployed.folds == (4, EVERY_CASE)
    assert result.verdict.folds == (4,)
    assert not (tmp_path / "run" / "verdict" / "unet3d" / "fold-every-case").exists()
    assert not any("every" in caveat for caveat in result.verdict.caveats)
    assert go().verdict == result.verdict


def test_nothing_can_be_judged_by_it_alone(tmp_path: Path) -> None:
    assert chosen_folds("all,every-case", 2) == (0, 1, EVERY_CASE)
    assert chosen_folds([1, EVERY_CASE], 2) == (1, EVERY_CASE)
    for text in (EVERY_CASE, "0,every-case"):
        with pytest.raises(UserError, match="no case is left to compare"):
            scored_folds(text, 2)
    with pytest.raises(UserError, match="every-case"):
        chosen_folds("every case", 2)
