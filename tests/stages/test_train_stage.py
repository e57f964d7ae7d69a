"""Training an architecture on a data set: what is asked for, what a run that has begun allows, and where it starts."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

import c2fnas
from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import Interrupted, UserError
from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.execution import InlineExecutor
from c2fnas.files import read_json_lines
from c2fnas.inference.package import load_package
from c2fnas.planning import run_timings
from c2fnas.planning.request import request_for
from c2fnas.runs.config import RunConfig
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.reporter import Silent
from c2fnas.runs.run import Run
from c2fnas.runs.state import read_state
from c2fnas.runs.timing.clock import ActiveTime
from c2fnas.runs.timing.timings import Timings
from c2fnas.space.architecture import Architecture
from c2fnas.stages import train as train_module
from c2fnas.stages import training
from c2fnas.stages.deployment import deployed, is_deployed, trained_folds
from c2fnas.stages.preparation import prepare
from c2fnas.stages.together import train_together
from c2fnas.stages.train import TrainOptions, train_architecture
from c2fnas.training.checkpoint import forget_checkpoints, load_newest

SMALL = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")
OTHER = Architecture.from_text("0:3D 1:3D 0:2D @0.0625")


class Listening(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said = ""

    def say(self, text: str) -> None:
        self.said += text + "\n"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("data") / "phantoms", cases=5, test_cases=1)


@pytest.fixture(scope="module")
def begun(dataset, tmp_path_factory):
    """A finished training of two iterations on the last fold; copied where a test changes it."""
    run = tmp_path_factory.mktemp("runs") / "begun"
    train(dataset, run, design=SMALL, iterations=2)
    return run


@pytest.fixture
def copy(begun, tmp_path):
    return shutil.copytree(begun, tmp_path / "elsewhere" / "run")


FIELDS = {
    "iterations": "deployment.recipe.iterations",
    "recipe": "deployment.recipe.name",
    "precision": "deployment.recipe.precision",
    "validate_every": "deployment.validate_every",
    "seed": "seed",
}


def options(**given: Any) -> TrainOptions:
    """Options as the command line has them: those of the configuration are overrides of its fields."""
    overrides = {FIELDS[name]: given.pop(name) for name in [*given] if name in FIELDS} | given.pop("overrides", {})
    return TrainOptions(overrides=overrides, **given)


def train(dataset: Path, run: Path, **given: Any):
    reporter = Listening()
    result = train_architecture(
        Run(run, reporter=reporter), dataset, options(**given), lambda devices: InlineExecutor(devices[0]), ("cpu",)
    )
    return result, reporter.said


def sums(run: Path, fold: int = 4) -> str:
    return (run / f"final/fold-{fold}/model/SHA256SUMS").read_text()


def test_leaves_a_model_with_its_evaluation(begun):
    model = load_package(begun / "final/fold-4/model")
    assert model.design == SMALL
    evaluation = json.loads((begun / "final/fold-4/evaluation.json").read_text())
    assert [case["case"] for case in evaluation["cases"]] == ["phantom_004"]
    assert "recipe `modern`, 2 iterations" in " ".join((begun / "final/fold-4/model/README.md").read_text().split())
    assert len([*(begun / "final/fold-4/checkpoints").glob("*.json")]) == 1


def test_called_again_it_changes_nothing(dataset, begun):
    before, written = sums(begun), (begun / "final/fold-4/model").stat().st_mtime_ns
    for given in ({}, {"design": SMALL, "iterations": 2, "recipe": "modern", "budget": "hour", "seed": 0}):
        result, _ = train(dataset, begun, **given)
        assert result.models == (begun / "final/fold-4/model",)
    assert (sums(begun), (begun / "final/fold-4/model").stat().st_mtime_ns) == (before, written)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"design": OTHER}, "of another architecture, 0:3D 1:P3D"),
        ({"iterations": 3}, r"another --iterations \(2, now 3\).* or train on with --extend"),
        ({"recipe": "paper"}, r"another --recipe \(modern, now paper\)"),
        ({"precision": "fp16"}, r"another --precision"),
        ({"budget": "day"}, r"another --budget \(hour, now day\)"),
        ({"seed": 1}, r"another --seed \(0, now 1\)"),
        ({"extend": 1}, "train for 2 iterations already"),
        ({"folds": "5"}, "numbers from 0 to 4"),
        ({"folds": "1;2"}, "numbers from 0 to 4"),
    ],
)
def test_a_run_that_has_begun_is_fixed(dataset, begun, given, said):
    config = (begun / "run.yaml").read_text()
    with pytest.raises(UserError, match=said):
        train(dataset, begun, **given)
    assert (begun / "run.yaml").read_text() == config


def test_no_search_takes_it_for_its_own(dataset, begun):
    with pytest.raises(UserError, match="only trains a network"):
        prepare(Run(begun), dataset, request_for(RunFolder(begun)))
    before = {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()}
    run = c2fnas.open_run(begun)
    for search in (run.search_topology, run.search_operations, lambda: c2fnas.run(dataset, begun)):
        with pytest.raises(UserError, match=rf"{begun}: this run only trains .* `c2fnas run DATASET RUN`"):
            search()
    assert {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()} == before


def test_another_fold_joins(dataset, copy):
    before = sums(copy)
    result, _ = train(dataset, copy, folds="0,4")
    assert [model.parent.name for model in result.models] == ["fold-0", "fold-4"]
    assert sums(copy) == before != sums(copy, fold=0)


def test_a_run_needs_the_file_of_its_budget_no_more(dataset, tmp_path):
    """As where it was copied to another machine, or is called from another folder."""
    budget = shutil.copy(Path(__file__).parents[1] / "support" / "tiny.yaml", tmp_path)
    train(dataset, tmp_path / "run", design=SMALL, budget=str(budget), iterations=1)
    Path(budget).unlink()
    train(dataset, tmp_path / "run", extend=2)
    assert RunConfig.load(tmp_path / "run/run.yaml").deployment.recipe.iterations == 2


def test_no_budget_is_refused_before_the_data_set_is_read(dataset, tmp_path):
    with pytest.raises(UserError, match="Choose demo, hour, day, paper"):
        train(dataset, tmp_path / "run", design=SMALL, budget="week")
    assert not (tmp_path / "run/fingerprint.json").exists()


def test_extending_goes_on_from_the_checkpoint(dataset, copy):
    before = load_newest(copy / "final/fold-4/checkpoints").tensors
    train(dataset, copy, extend=4)
    after = load_newest(copy / "final/fold-4/checkpoints")
    assert after.iteration == 4
    moved = [name for name in before if not torch.equal(before[name], after.tensors[name])]
    assert any(name.startswith("model/") for name in moved)
    lines = [json.loads(line) for line in (copy / "final/fold-4/metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines if "loss" in line] == [1, 2, 4]
    assert RunConfig.load(copy / "run.yaml").deployment.recipe.iterations == 4


def test_a_model_whose_dice_is_not_measurable_is_kept_and_told(dataset, begun, tmp_path, monkeypatch):
    """And is trained no more, whoever asks for it again, but scored once that can be done."""

    def fails(*_: object, **__: object) -> None:
        raise ValueError("a case has gone")

    with monkeypatch.context() as patched:
        patched.setattr(training, "evaluate_network", fails)
        for _ in range(2):
            result, said = train(dataset, tmp_path / "run", design=SMALL, iterations=2)
            assert result.evaluations == (None,)
            assert "fold 4: the model is kept. Dice not measurable: a case has gone" in said
    run = Run.open(tmp_path / "run")
    assert is_deployed(run)
    assert trained_folds(run) == (4,)
    assert "Dice not measurable" in (result.models[0] / "README.md").read_text()
    weights = [line for line in sums(tmp_path / "run").splitlines() if "weights" in line]
    assert weights == [line for line in sums(begun).splitlines() if "weights" in line]
    result, _ = train(dataset, tmp_path / "run", design=SMALL, iterations=2)
    assert result.evaluations == deployed(Run.open(begun), SMALL, (4,)).evaluations
    assert sums(tmp_path / "run") == sums(begun)


def test_one_case_trains_with_one_warning_and_its_dice_is_not_measurable(dataset, tmp_path):
    one = shutil.copytree(dataset, tmp_path / "one")
    manifest = json.loads((one / "dataset.json").read_text())
    (one / "dataset.json").write_text(json.dumps(manifest | {"training": manifest["training"][:1], "numTraining": 1}))
    result, said = train(one, tmp_path / "run", design=SMALL, iterations=2, validate_every=1)
    assert result.evaluations == (None,)
    assert load_package(result.models[0]).design == SMALL
    assert said.count("Warning") == 1
    assert "Dice not measurable" in said


def test_a_stated_spacing_decides_the_plan_is_kept_by_the_run_and_remembered_by_its_model(dataset, tmp_path):
    true = (1.5, 2.0, 4.0)
    train(dataset, tmp_path / "run", overrides={"stated_spacing": true}, iterations=2, design=SMALL)
    run, first = Run.open(tmp_path / "run"), sums(tmp_path / "run")
    assert {case.stated for case in run.fingerprint.cases} == {true}
    assert all(sorted(case.spacing) == pytest.approx(sorted(true)) for case in run.fingerprint.cases)
    plan = load_package(tmp_path / "run/final/fold-4/model").plan
    assert plan.stated_headers == run.fingerprint.stated_headers != ()
    assert {*plan.stated_headers}.isdisjoint({tuple(sorted(true))})
    assert all(low <= mm <= high for (low, high), mm in zip(plan.seen.spacing, plan.spacing, strict=True))
    train(dataset, tmp_path / "run", design=SMALL)  # without saying it again
    assert sums(tmp_path / "run") == first
    with pytest.raises(UserError, match=r"another data set|--spacing"):
        train(dataset, tmp_path / "run", overrides={"stated_spacing": (1, 1, 1)}, design=SMALL)


def test_extending_to_the_same_number_again_does_nothing_more(dataset, copy):
    train(dataset, copy, extend=3)
    once = sums(copy)
    for given in ({"extend": 3}, {"extend": 3, "iterations": 2}, {}):
        train(dataset, copy, **given)
        assert sums(copy) == once


def test_folds_that_are_left_out_are_those_of_the_run(dataset, tmp_path):
    """A search's run deploys on fold 0: to extend it is to extend that one, and no other fold is begun."""
    train(dataset, tmp_path / "run", design=SMALL, iterations=1, folds="0")
    result, said = train(dataset, tmp_path / "run", extend=2)
    assert result.folds == (0,)
    assert "folds 0 of 5: 2 iterations" in said
    assert [path.name for path in (tmp_path / "run" / "final").glob("fold-*")] == ["fold-0"]


def test_a_new_run_takes_the_folds_of_its_configuration(dataset, tmp_path):
    given = {"deployment.folds": [1]}
    result, _ = train(dataset, tmp_path / "run", design=SMALL, iterations=1, overrides=given)
    assert result.folds == (1,)


def test_a_training_that_is_extended_is_not_finished(dataset, copy, monkeypatch):
    """Neither to whoever watches, nor after a loss of power."""
    seen = []

    def interrupted(*_: Any, **__: Any) -> None:
        seen.append(read_state(copy))
        raise Interrupted("stopped")

    monkeypatch.setattr(training, "train", interrupted)
    with pytest.raises(Interrupted):
        train(dataset, copy, extend=2000)
    for state in (*seen, read_state(copy)):
        assert not state.finished
        assert [(stage.name, stage.done) for stage in state.summary.stages] == [("deployment", 0)]
    assert (copy / "final/fold-4/model").is_dir(), "the shorter training's model stays until the longer one's is there"


@pytest.mark.parametrize("damaged", [True, False])
def test_extending_without_a_whole_checkpoint_is_refused(dataset, copy, damaged):
    """A training that has ended would begin again otherwise, and its result would be gone."""
    if damaged:
        for path in (copy / "final/fold-4/checkpoints").glob("*.json"):
            path.write_text("{}")
    else:
        forget_checkpoints(copy / "final/fold-4")
    config = (copy / "run.yaml").read_text()
    with pytest.raises(UserError, match=r"checkpoint is gone.*--from"):
        train(dataset, copy, extend=4)
    assert (copy / "run.yaml").read_text() == config
    assert (copy / "final/fold-4/result.json").exists()


def test_nothing_to_extend(dataset, tmp_path):
    with pytest.raises(UserError, match="has not begun"):
        train(dataset, tmp_path, design=SMALL, extend=4)


def test_no_architecture_at_all(dataset, tmp_path):
    with pytest.raises(UserError, match="--architecture c2fnas-panc"):
        train(dataset, tmp_path)


@pytest.fixture
def first_weights(monkeypatch):
    """The weights that a training began with."""
    seen: dict[str, torch.Tensor] = {}
    loop = training.train

    def spying(network, *arguments, **options):
        seen.update({name: value.clone() for name, value in network.state_dict().items()})
        return loop(network, *arguments, **options)

    monkeypatch.setattr(training, "train", spying)
    return seen


def test_together_a_stop_file_of_the_run_ends_after_the_iteration(dataset, tmp_path):
    """As the driver of workers would have it; and progress is told. Called again, it carries on."""

    class Impatient(Listening):
        reached = 0.0

        def update(self, stage: str, done: float, note: str = "") -> None:
            if stage == "deployment" and done > self.reached:
                (tmp_path / "run/stop").touch()
                self.reached, self.said = done, note

    reporter, saved = Impatient(), [0]
    for _ in range(2):
        with pytest.raises(Interrupted, match="stopped after iteration"):
            train_together(
                Run(tmp_path / "run", reporter=reporter), dataset, options(design=SMALL, iterations=5000), kind="cpu"
            )
        saved.append(load_newest(tmp_path / "run/final/fold-4/checkpoints").iteration)
        assert re.search(r"fold 4: \d+/5000", reporter.said)
    assert 0 < saved[1] < saved[2] < 5000


def test_together_a_run_keeps_its_devices(dataset, copy):
    """Those on which a command without torchrun goes on; new ones are named."""
    run = Run(copy)
    run.configure(run.config.model_copy(update={"devices": ("cpu:0", "cpu:1")}))
    for named, kept in ((None, ("cpu:0", "cpu:1")), (("cpu",), ("cpu",))):
        train_together(Run(copy), dataset, options(), kind="cpu", devices=named)
        assert RunConfig.load(copy / "run.yaml").devices == kept


def test_fine_tuning_begins_with_the_model(dataset, begun, tmp_path, first_weights):
    """Its architecture is the default, and the run folder needs it no more."""
    model = shutil.copytree(begun / "final/fold-4/model", tmp_path / "model")
    given = load_package(model).network.state_dict()
    _, said = train(dataset, tmp_path / "run", start=model, iterations=1)
    assert f"{len(given)} of {len(given)} tensors come over" in said
    assert "Newly begun" not in said
    assert "fine-tuned from another model" in (tmp_path / "run/final/fold-4/model/README.md").read_text()
    assert first_weights.keys() == given.keys()
    assert all(torch.equal(first_weights[name], given[name]) for name in given)
    shutil.rmtree(model)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    train(dataset, tmp_path / "moved", folds="3")
    assert all(torch.equal(first_weights[name], given[name]) for name in given)
    with pytest.raises(UserError, match=r"another --from \([0-9a-f]+, now [0-9a-f]+\)"):
        train(dataset, tmp_path / "moved", start=tmp_path / "moved/final/fold-3/model")


def test_until_a_network_is_trained_another_model_may_be_given(dataset, begun, tmp_path, monkeypatch):
    train(dataset, tmp_path / "other", design=SMALL, iterations=1, seed=1)
    first, second = begun / "final/fold-4/model", tmp_path / "other/final/fold-4/model"
    monkeypatch.setattr(train_module, "deploy", lambda *_: None)
    for model, iterations in ((first, 10), (second, 20)):
        train(dataset, tmp_path / "run", start=model, iterations=iterations)
    config = RunConfig.load(tmp_path / "run/run.yaml").deployment
    copied = load_package(tmp_path / "run/final/from")
    assert copied.checksum == load_package(second).checksum == config.start
    assert config.recipe.iterations == 20
    assert {each.name for each in (tmp_path / "run/final").iterdir()} == {"architecture.json", "from"}


def test_a_run_from_scratch_takes_no_model(dataset, begun, copy):
    with pytest.raises(UserError, match=r"another --from \(none, now [0-9a-f]+\)"):
        train(dataset, copy, start=begun / "final/fold-4/model")


@pytest.fixture
def organ_alone(dataset, tmp_path):
    """The phantoms with one foreground class in place of two, and the image twice, as two channels."""
    folder = shutil.copytree(dataset, tmp_path / "organ")
    manifest = json.loads((folder / "dataset.json").read_text())
    manifest["labels"] = {"0": "background", "1": "organ"}
    manifest["modality"] = {"0": "CT", "1": "PET"}
    (folder / "dataset.json").write_text(json.dumps(manifest))
    for path in folder.glob("labels*/*.nii.gz"):
        label = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Image((np.asarray(label.dataobj) > 0).astype(np.uint8), label.affine), path)
    for path in folder.glob("images*/*.nii.gz"):
        image = nibabel.load(path)
        twice = np.stack([np.asarray(image.dataobj)] * 2, axis=-1)
        nibabel.save(nibabel.Nifti1Image(twice, image.affine), path)
    return folder


def test_other_channels_and_classes_take_over_what_fits(organ_alone, begun, tmp_path, first_weights):
    given = load_package(begun / "final/fold-4/model").network.state_dict()
    _, said = train(organ_alone, tmp_path / "run", start=begun / "final/fold-4/model", iterations=1)
    fitting = [name for name in given if first_weights[name].shape == given[name].shape]
    others = sorted(given.keys() - set(fitting))
    assert len(others) == 3, "the first convolution's weight, the last one's weight and bias"
    assert f"{len(fitting)} of {len(given)} tensors come over" in said
    assert f"Newly begun: {', '.join(others)}." in said
    assert f"Not used of the model: {', '.join(others)}." in said
    assert all(torch.equal(first_weights[name], given[name]) for name in fitting)


def test_validation_draws_a_curve_and_changes_no_bit(dataset, begun, tmp_path):
    """The last point is what the model scores on whole volumes in their own geometry, without mirrored views."""
    train(dataset, tmp_path, design=SMALL, iterations=2, validate_every=1)
    lines = [json.loads(line) for line in (tmp_path / "final/fold-4/metrics.jsonl").read_text().splitlines()]
    curve = [line["validation"] for line in lines if "validation" in line]
    run = Run.open(tmp_path)
    expected = evaluate_network(
        load_package(tmp_path / "final/fold-4/model").network,
        run.cases(["phantom_004"]),
        run.window(),
        scheme=run.scheme,
        device="cpu",
    )
    assert len(curve) == 2
    assert curve[-1] == expected.mean
    weights = [line for line in sums(tmp_path).splitlines() if "weights" in line]
    assert weights == [line for line in sums(begun).splitlines() if "weights" in line]


def test_a_budget_of_time_goes_to_the_folds(dataset, tmp_path, monkeypatch):
    """0.1 s a patch, 2 patches an iteration, 2 folds on one device: 0.97 h / 2, less start and evaluation."""
    monkeypatch.setattr(run_timings, "measure", lambda *_: Timings(patch=0.1, window=0.0))
    monkeypatch.setattr(ActiveTime, "seconds", 0.0)
    monkeypatch.setattr(training, "train", lambda *_, **__: SimpleNamespace(micro_batch=None))
    train(dataset, tmp_path, design=SMALL, budget="hour", folds="0,1")
    recipe = RunConfig.load(tmp_path / "run.yaml").deployment.recipe
    expected = (3600 * 0.97 / 2 - 8) / (0.1 * recipe.batch_size)
    assert recipe.iterations == pytest.approx(expected, abs=1)


def test_a_model_to_start_from_takes_nothing_off_that_time(dataset, begun, tmp_path, monkeypatch):
    """Its copy in the run folder is no training that has begun."""
    monkeypatch.setattr(run_timings, "measure", lambda *_: Timings(patch=0.1, window=0.0))
    monkeypatch.setattr(ActiveTime, "seconds", 0.0)
    monkeypatch.setattr(training, "train", lambda *_, **__: SimpleNamespace(micro_batch=None))
    train(dataset, tmp_path, start=begun / "final/fold-4/model", budget="hour", folds="0,1")
    config = RunConfig.load(tmp_path / "run.yaml")
    recipe = config.deployment.recipe
    assert recipe.iterations == pytest.approx((3600 * 0.97 / 2 - 8) / (0.1 * recipe.batch_size), abs=1)
    assert config.deployment.folds == (0, 1)
    assert [row["stage"] for row in read_json_lines(tmp_path / "schedule.jsonl")] == ["deployment"]


def test_augmentation_is_counted(dataset, tmp_path, monkeypatch):
    timings = Timings(patch=0.1, window=0.0, augmentation=0.4)
    monkeypatch.setattr(run_timings, "measure", lambda *_: timings)
    monkeypatch.setattr(ActiveTime, "seconds", 0.0)
    monkeypatch.setattr(training, "train", lambda *_, **__: SimpleNamespace(micro_batch=None))
    train(dataset, tmp_path, design=SMALL, budget="hour", folds="0,1")
    recipe = RunConfig.load(tmp_path / "run.yaml").deployment.recipe
    assert recipe.augmentation == "strong"
    assert recipe.iterations == pytest.approx((3600 * 0.97 / 2 - 8) / (0.5 * recipe.batch_size), abs=1)


def test_the_paper_to_the_letter(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, "deploy", lambda *_: None)
    train(dataset, tmp_path, design=SMALL, recipe="paper")
    config = RunConfig.load(tmp_path / "run.yaml")
    assert (config.kind, config.budget, config.deployment.recipe.iterations) == ("training", "paper", 40_000)
    assert config.deployment.recipe.milestones == (16_000, 32_000)
