"""Regions and ignored voxels through a whole run: search, ranking, deployment, verdict, prediction and report."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

import c2fnas
from c2fnas.data.phantoms import write_phantoms
from c2fnas.execution import InlineExecutor
from c2fnas.inference.package import load_package
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages.pipeline import Result, run_pipeline
from c2fnas.stages.train import TrainOptions, train_architecture
from c2fnas.studies.verdict import judge

TINY = str(Path(__file__).parents[1] / "support" / "tiny.yaml")
NAMES = ("whole", "lesion")


def stated(folder: Path, labels: dict[str, Any], ignored: int | None = None, **more: Any) -> Path:
    """Phantoms of an organ (1) with a lesion (2), their labels stated otherwise; with a third of their rows ignored."""
    dataset = write_phantoms(folder, cases=5, test_cases=1)
    manifest = json.loads((dataset / "dataset.json").read_text())
    (dataset / "dataset.json").write_text(json.dumps(manifest | {"labels": labels} | more))
    for path in (dataset / "labelsTr").iterdir() if ignored is not None else ():
        image = nibabel.load(path)
        label = np.array(image.dataobj)
        label[::3] = ignored
        nibabel.save(nibabel.Nifti1Image(label, image.affine), path)
    return dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = {"background": 0, "whole": [1, 2], "lesion": 2, "ignore": 3}
    return stated(tmp_path_factory.mktemp("data") / "Task00", labels, 3, regions_class_order=[1, 2])


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    run = tmp_path_factory.mktemp("runs") / "run"
    return run, run_pipeline(
        Run(run),
        dataset,
        lambda devices: InlineExecutor(devices[0]),
        budget=TINY,
        # Hardly trained, its logits are all but ties.
        overrides={"verdict": True, "deployment.recipe.precision": "fp32"},
        devices=("cpu",),
        judge=judge,
    )


@pytest.mark.long
def test_every_stage_scores_regions(finished: tuple[Path, Result]) -> None:
    run, result = finished
    (evaluation,) = result.deployed.evaluations
    assert evaluation is not None
    assert tuple(evaluation.per_class) == NAMES
    assert result.verdict.searched.per_class.keys() == {*NAMES}
    opened = Run(run)
    assert opened.classes == 2  # outputs: no background's
    assert len(opened.plan.classes) == 3


@pytest.mark.long
def test_a_model_of_regions_writes_labels_and_is_scored_alike_on_files(
    finished: tuple[Path, Result], dataset: Path, tmp_path: Path
) -> None:
    run, result = finished
    (case,) = (each.case for each in result.deployed.evaluations[0].cases)
    image = next(path for path in (dataset / "imagesTr").iterdir() if path.name.startswith(case))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / image.name).write_bytes(image.read_bytes())
    precision = Run(run).config.deployment.recipe.precision
    c2fnas.predict(run, input=tmp_path / "images", output=tmp_path / "out", device="cpu", precision=precision)
    found = np.asarray(nibabel.load(tmp_path / "out" / image.name).dataobj)
    assert {*np.unique(found)} <= {0, 1, 2}
    scores = c2fnas.evaluate(tmp_path / "out", dataset / "labelsTr").evaluation.per_class
    assert scores == pytest.approx(result.deployed.evaluations[0].per_class, abs=0.02)
    model = c2fnas.load_model(run)
    assert model.classes == {"background": 0, "whole": 1, "lesion": 2}
    _, probabilities = model.predict(image, probabilities=True, device="cpu")
    assert np.asarray(probabilities.dataobj).shape[-1] == 2
    card = (result.deployed.models[0] / "README.md").read_text()
    assert "whole [1, 2]; lesion [2]" in card
    assert "label 3" in card


@pytest.mark.long
def test_the_page_shows_regions(finished: tuple[Path, Result]) -> None:
    page = c2fnas.open_run(finished[0]).report(device="cpu").read_text()
    assert all(name in page for name in NAMES)


def weights(folder: Path, dataset: Path) -> dict[str, torch.Tensor]:
    """The weights after three iterations on patches that show nothing beyond an image, which might be ignored."""
    within = {"deployment.recipe.augmentation": "none", "plan.patch_size": [16, 16, 16], "plan.stride": [8, 8, 8]}
    asked = {"deployment.recipe.iterations": 3} | within
    options = TrainOptions(Architecture.from_text("0:3D @0.0625"), overrides=asked)
    found = train_architecture(Run(folder), dataset, options, lambda devices: InlineExecutor(devices[0]), ("cpu",))
    return load_package(found.models[0]).network.state_dict()


@pytest.mark.long
def test_disjoint_regions_train_as_classes_do(tmp_path: Path) -> None:
    """Regions of one value each: the same weights, bit for bit; with an ignore label that no voxel has, to rounding."""
    plain, lists, unused, nested = (
        weights(tmp_path / f"run {name}", stated(tmp_path / name, labels, **order))
        for name, labels, order in (
            ("plain", {"background": 0, "organ": 1, "lesion": 2}, {}),
            ("lists", {"background": 0, "organ": [1], "lesion": [2]}, {"regions_class_order": [1, 2]}),
            ("unused", {"background": 0, "organ": 1, "lesion": 2, "ignore": 255}, {}),
            ("nested", {"background": 0, "organ": [1, 2], "lesion": 2}, {"regions_class_order": [1, 2]}),
        )
    )
    assert all(torch.equal(value, lists[name]) for name, value in plain.items())
    for name, value in plain.items():
        torch.testing.assert_close(unused[name], value, rtol=1e-3, atol=1e-4)
    assert any(nested[name].shape != value.shape for name, value in plain.items())
