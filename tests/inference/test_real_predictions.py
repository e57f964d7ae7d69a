"""Predictions of real volumes, where they are at hand, lie where their images lie and have the manifest's values."""

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from small_models import save_small_model

from c2fnas.data.layouts import load_dataset
from c2fnas.data.scan import scan_dataset
from c2fnas.inference.package import load_package
from c2fnas.inference.predict import predict_cases
from c2fnas.inference.predictor import Predictor
from c2fnas.planning.plan import make_plan

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize("name", ["Task04_Hippocampus", "ProstateThick2ch", "MSLesion4ch"])
def test_shape_affine_type_and_values(name: str, tmp_path: Path) -> None:
    if not (DATA / name / "dataset.json").exists():
        pytest.skip(f"{name} is not at hand")
    data = load_dataset(DATA / name)
    data = replace(data, training=data.training[:1])
    plan = make_plan(scan_dataset(data).fingerprint, style="planned", most_voxels=48**3)
    save_small_model(tmp_path / "model", plan=plan.model_copy(update={"stride": plan.patch_size}))
    model = load_package(tmp_path / "model")
    predict_cases(Predictor((model,), model.window(), device="cpu"), data.training, tmp_path / "out")
    image = nibabel.load(data.training[0].images[0])
    label = nibabel.load(next((tmp_path / "out").glob("[!.]*.nii.gz")))
    assert label.shape == image.shape[:3]
    assert np.allclose(label.affine, image.affine, atol=1e-5)
    assert label.get_data_dtype().kind in "iu"
    if image.get_data_dtype().kind in "iu":
        assert label.get_data_dtype() == image.get_data_dtype()
    known = {each.values[0] for each in data.classes}
    assert set(np.unique(np.asarray(label.dataobj)).tolist()) <= known  # type: ignore[attr-defined]
