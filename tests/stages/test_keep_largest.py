"""Largest components: chosen by cross-validation of three folds, stored with their models, in no reported Dice."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from c2fnas.data.phantoms import write_phantoms
from c2fnas.data.restoration import Restoration
from c2fnas.data.volume import read_image, read_label
from c2fnas.evaluation.metrics import Options, score_case
from c2fnas.execution import InlineExecutor
from c2fnas.inference.model import load_model
from c2fnas.inference.options import Options as PredictionOptions
from c2fnas.inference.package import load_package, read_card
from c2fnas.planning.presets import requested
from c2fnas.report.text import tiles
from c2fnas.runs.config import DeploymentConfig
from c2fnas.runs.folder import EVALUATION
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages.deployment import choose_components
from c2fnas.stages.train import TrainOptions, train_architecture

DESIGN = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("largest") / "data", cases=6, test_cases=0)


@pytest.fixture(scope="module")
def run(data: Path) -> Run:
    """A training of two iterations on three folds."""
    found = Run(data.parent / "run")
    overrides = {"folds.count": 3, "deployment.recipe.iterations": 2, "deployment.recipe.precision": "fp32"}
    overrides |= {"plan.patch_size": [16] * 3, "plan.stride": [16] * 3, "plan.ranking_stride": [16] * 3}
    options = TrainOptions(design=DESIGN, folds="all", budget="demo", overrides=overrides)
    train_architecture(found, data, options, lambda devices: InlineExecutor(), ("cpu",))
    return Run.open(found.folder.root)


def test_scores_hold_both_dice_as_prediction_would_have_them(run: Run, data: Path) -> None:
    for fold, split in enumerate(run.folds):
        scores = json.loads((run.folder.final_fold(fold) / EVALUATION).read_text())
        rows = {row["case"]: row for row in scores["cases"]}
        assert set(rows) == set(split.validation)
        predictor = load_model(run.folder.final_model(fold)).predictor(
            PredictionOptions(device="cpu", precision="fp32", keep_largest=False)
        )
        case = split.validation[0]
        sink, _ = predictor.label(read_image([data / "imagesTr" / f"{case}.nii.gz"]), Path(case))
        truth, geometry = read_label(data / "labelsTr" / f"{case}.nii.gz", run.plan.scheme.parts)
        plain = score_case(
            case, sink.labels, truth, run.plan.scheme, spacing=geometry.spacing, options=Options(largest=True)
        )
        # to a voxel, of which one may change sides by rounding: the network has hardly begun
        assert rows[case]["dice"] == pytest.approx(plain.dice, abs=1e-4)
        assert rows[case]["largest"] == pytest.approx(plain.largest, abs=1e-4)


def test_a_model_tells_what_its_training_showed(run: Run, data: Path) -> None:
    for fold, split in enumerate(run.folds):
        seen = load_package(run.folder.final_model(fold)).plan.seen
        assert seen is not None
        volumes, spacings, means = [], [], []
        for case in split.training:
            image = read_image([data / "imagesTr" / f"{case}.nii.gz"])
            labels, geometry = read_label(data / "labelsTr" / f"{case}.nii.gz", run.plan.scheme.parts)
            counts = [int((labels == index).sum()) for index in range(1, len(run.plan.classes))]
            volumes.append([count * np.prod(geometry.spacing) / 1000 for count in counts])
            spacings.append(Restoration.to_axes(geometry).spacing)
            means.append((image.array[0][labels > 0].mean() - image.array.mean()) / image.array.std())
        assert np.allclose(seen.volumes_ml, np.stack([np.min(volumes, 0), np.max(volumes, 0)], 1))
        assert np.allclose(seen.spacing, np.stack([np.min(spacings, 0), np.max(spacings, 0)], 1), rtol=1e-5)
        assert np.allclose(
            seen.intensities, [[min(means), max(means)]], atol=0.02
        )  # a sample stands for the foreground


def gain(run: Run, name: str, more: float) -> dict[int, Any]:
    """Change the records so that a class gains by its largest component; returns them."""
    found = {}
    for fold in range(3):
        path = run.folder.final_fold(fold) / EVALUATION
        evaluation = json.loads(path.read_text())
        for row in evaluation["cases"]:
            row["largest"] = {each: (dice or 0) - 0.1 for each, dice in row["dice"].items()}
            row["largest"][name] = (row["dice"][name] or 0) + more
        path.write_text(json.dumps(evaluation))
        found[fold] = evaluation
    return found


def test_a_class_that_gains_is_stored_with_every_model_and_prediction_keeps_to_it(run: Run, data: Path) -> None:
    name = run.plan.classes[1].name
    weights = [load_package(run.folder.final_model(fold)) for fold in range(3)]
    assert all(each.plan.seen is not None for each in weights)
    before = gain(run, name, 0.05)
    choose_components(run)
    models = [load_package(run.folder.final_model(fold)) for fold in range(3)]
    for one, other in zip(weights, models, strict=True):
        assert other.plan.keep_largest == (name,)
        assert other.plan.model_copy(update={"keep_largest": one.plan.keep_largest}) == one.plan
        assert all((a == b).all() for a, b in zip(one.network.parameters(), other.network.parameters(), strict=True))
        assert f"{name} " in read_card(other.folder)
        assert read_card(other.folder).count("**Largest components**") == 1
    for fold, evaluation in before.items():  # no reported Dice has changed
        assert json.loads((run.folder.final_fold(fold) / EVALUATION).read_text()) == evaluation
    image = data / "imagesTr" / f"{run.folds[0].validation[0]}.nii.gz"
    model = load_model(run.folder.root)
    kept, plain = (np.asarray(model.predict(image, device="cpu", keep_largest=each).dataobj) for each in (None, False))
    predictor = model.predictor(PredictionOptions(device="cpu"))
    assert predictor.largest == (1,)
    assert ((kept != plain) <= (kept == 0)).all()
    checksums = [each.checksum for each in models]
    card, notes = models[0].folder / "README.md", "## Notes\n\nNot for scans of children."
    card.write_text(f"{card.read_text()}\n{notes}\n")
    choose_components(run)  # again: nothing changes
    assert [load_package(run.folder.final_model(fold)).checksum for fold in range(3)] == checksums
    gain(run, name, -0.05)
    choose_components(run)
    for fold in range(3):
        assert load_package(run.folder.final_model(fold)).plan.keep_largest == ()
        assert "Largest components" not in read_card(run.folder.final_model(fold))
    assert read_card(models[0].folder).endswith(f"\n\n{notes}"), "what people add stays"


def test_the_gain_stands_beside_the_dice(run: Run) -> None:
    import c2fnas
    from c2fnas.cli.text_studies import table_1
    from c2fnas.report.summary import read_report

    name = run.plan.classes[1].name
    gain(run, name, 0.05)
    scores = c2fnas.open_run(run.folder.root).scores
    assert f"the largest component alone takes Dice from {name} " in table_1([scores])
    assert f"the largest component alone takes Dice from {name} " in " ".join(
        map(str, tiles(read_report(run.folder.root)))
    )


def test_the_paper_does_without() -> None:
    assert requested("paper", {})["deployment"]["keep_largest"] is False
    assert DeploymentConfig.model_fields["keep_largest"].default is True


def test_two_folds_decide_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    gain(run, run.plan.classes[1].name, 0.05)
    monkeypatch.setattr("c2fnas.stages.deployment.trained_folds", lambda run: (0, 2))
    choose_components(run)
    for fold in (0, 2):
        assert load_package(run.folder.final_model(fold)).plan.keep_largest == ()
