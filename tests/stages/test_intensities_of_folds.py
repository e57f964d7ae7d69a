"""CT from the data set to the model: every fold has its own statistics, and its model needs nothing else."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from c2fnas.data.layouts import load_dataset
from c2fnas.data.phantoms import write_phantoms
from c2fnas.evaluation.metrics import score_case
from c2fnas.files import read_json
from c2fnas.inference.package import load_package
from c2fnas.inference.predict import predict_cases
from c2fnas.inference.prediction_files import find_cases
from c2fnas.inference.predictor import Predictor
from c2fnas.planning.request import request_for
from c2fnas.runs.run import Run
from c2fnas.space.architecture import Architecture
from c2fnas.stages.preparation import prepare
from c2fnas.stages.training import train_and_score
from c2fnas.stages.training_jobs import TrainingSpec
from c2fnas.training.recipe import modern_recipe

DESIGN = Architecture.from_text("0:3D 1:P3D 0:2D @0.0625")

pytestmark = pytest.mark.usefixtures("fast_steps")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run prepared on phantoms that are said to be CT, in three folds."""
    root = tmp_path_factory.mktemp("ct")
    data = write_phantoms(root / "data", cases=6, test_cases=0)
    manifest = json.loads((data / "dataset.json").read_text()) | {"modality": {"0": "CT"}}
    (data / "dataset.json").write_text(json.dumps(manifest))
    overrides = {"folds.count": 3, "plan.spacing": [2, 2, 4], "plan.patch_size": [16, 16, 8], "plan.stride": [8, 8, 8]}
    overrides["plan.ranking_stride"] = [16, 16, 8]
    run = Run(root / "run")
    return prepare(run, data, request_for(run.folder, budget="demo", overrides=overrides))


def foreground(run: Run, ids: tuple[str, ...]) -> np.ndarray:
    """Every foreground voxel of some cases, straight from their files."""
    data = load_dataset(run.folder.root.parent / "data")
    files = [(case.images[0], case.label) for case in data.training if case.id in ids]
    images = [[np.asanyarray(nibabel.load(path).dataobj) for path in pair] for pair in files]
    return np.concatenate([image[label > 0] for image, label in images])


@pytest.mark.parametrize("fold", [0, 2])
def test_a_model_has_the_statistics_of_its_training_cases_and_predicts_as_it_was_scored(
    run: Run, fold: int, tmp_path: Path
) -> None:
    folder = run.folder.final_fold(fold)
    spec = TrainingSpec(DESIGN, modern_recipe(2), fold=fold, keep="model")
    train_and_score(run, spec, folder, "cpu")
    package, split = load_package(folder / "model"), run.folds[fold]
    (channel,) = package.plan.channels
    values = foreground(run, split.training)
    assert channel.clip == pytest.approx(np.percentile(values, [0.5, 99.5]), rel=1e-2)
    assert (channel.mean, channel.std) == pytest.approx((values.mean(), values.std()), rel=1e-2)
    assert run.plan.channels[0].clip is None

    rows = {row["case"]: row["dice"] for row in read_json(folder / "evaluation.json")["cases"]}
    assert tuple(rows) == split.validation
    images = find_cases(run.folder.root.parent / "data" / "imagesTr", 1)
    predictor = Predictor((package,), package.window(precision=spec.recipe.precision), device="cpu")
    predict_cases(predictor, [case for case in images if case.id in rows], tmp_path / "out")
    for case, dice in rows.items():
        labels = np.asanyarray(nibabel.load(tmp_path / "out" / f"{case}.nii.gz").dataobj).astype(np.uint8)
        truth = run.cache[case].truth
        assert truth is not None
        assert score_case(case, labels, truth, run.scheme).dice == pytest.approx(dice, abs=5e-3)


def test_folds_see_the_same_case_differently_and_share_the_cache(run: Run) -> None:
    first, second = (run.cases(["phantom_003"], fold)[0] for fold in (0, 2))
    assert np.array_equal(first.raw, second.raw)
    assert first.folder == second.folder
    assert not np.array_equal(np.asarray(first.image), np.asarray(second.image))
    assert run.cases(["phantom_003"])[0] == second  # the search's split is the last fold
