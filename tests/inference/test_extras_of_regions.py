"""What goes beside labels of regions that overlap: each region has all of its voxels, in figures and in DICOM SEG."""

import json
from math import prod
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from dicom_files import AXIAL, write_series
from highdicom.seg import segread
from small_models import save_small_model, small_plan, write_image

from c2fnas.data.plan import ClassPlan
from c2fnas.data.restoration import Restoration
from c2fnas.data.scheme import LabelClass
from c2fnas.data.volume import Volume, read_geometry
from c2fnas.errors import UserError
from c2fnas.evaluation.label_files import evaluate_files, pair_files, values_in
from c2fnas.evaluation.metrics import Options, score_case
from c2fnas.inference.model import Model, load_model, predict_folder
from c2fnas.inference.options import Extras
from c2fnas.inference.quality import Seen, remarks

CPU: dict[str, Any] = {"device": "cpu", "precision": "fp32"}
REGIONS = {"background": (0,), "whole": (1, 2, 7), "core": (2, 7), "rim": (7,)}
ORDER = (1, 2, 7)
PLAN = small_plan(
    classes=tuple(ClassPlan(name=name, values=values) for name, values in REGIONS.items()), regions_class_order=ORDER
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Two models that vote."""
    folders = [tmp_path_factory.mktemp("regions") / "model" for _ in range(2)]
    for seed, folder in enumerate(folders):
        save_small_model(folder, seed, PLAN, PLAN.outputs)
    return load_model(*folders)


def read(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]


def test_figures_of_a_region_are_of_all_its_voxels(model: Model, tmp_path: Path) -> None:
    image = write_image(tmp_path / "in" / "a.nii.gz", affine=np.diag([1.5, 1, 2, 1]))
    predict_folder(model, tmp_path / "in", tmp_path / "out", extras=Extras("image", True, True), **CPU)
    values = read(tmp_path / "out" / "a.nii.gz")
    found = json.loads((tmp_path / "out" / "statistics.json").read_text())["a"]
    assert list(found["classes"]) == ["whole", "core", "rim"]
    assert len(np.unique(values)) > 2
    for (name, own), value in zip(list(REGIONS.items())[1:], ORDER, strict=True):
        inside, figures = np.isin(values, own), found["classes"][name]
        places = np.argwhere(inside)
        assert figures["value"] == value
        assert figures["voxels"] == len(places)
        assert figures["volume_ml"] == pytest.approx(len(places) * 3 / 1000)
        assert figures["intensity_mean"]["MRI"] == pytest.approx(image[inside].mean() if len(places) else None)
        box = np.stack([places.min(0), places.max(0) + 1], 1).tolist() if len(places) else None
        assert figures["box"] == box
    assert 0 < found["disagreement"] <= 1
    with np.load(tmp_path / "out" / "a_probabilities.npz") as file:
        assert file["classes"].tolist() == ["whole", "core", "rim"]
        assert file["probabilities"].shape == (3, *image.shape)
    assert (tmp_path / "out" / "a.png").is_file()


def test_volumes_are_judged_region_by_region() -> None:
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[:2], labels[2:3] = 1, 3  # 0.2 ml of the outermost, 0.1 ml of what is in all three
    volume = Volume(np.zeros((1, 10, 10, 10), np.float32), read_grid())
    way = Restoration.to_axes(volume.geometry)
    seen = Seen(spacing=((1, 1),) * 3, volumes_ml=((0.3, 0.3), (0.1, 0.1), (0.1, 0.1)), intensities=((0, 0),))
    assert remarks(labels, volume, way, PLAN, seen) == []
    narrow = seen.model_copy(update={"volumes_ml": ((0.2, 0.2), (0.1, 0.1), (0.1, 0.1))})
    assert remarks(labels, volume, way, PLAN, narrow) == ["whole 0.3 ml, training had 0.2"]


def read_grid() -> Any:
    from c2fnas.data.geometry import Geometry

    return Geometry.from_array((10, 10, 10), np.eye(4))


def test_segments_of_a_seg_overlap_as_regions_do(model: Model, tmp_path: Path) -> None:
    array = write_image(tmp_path / "scan.nii.gz")
    write_series(tmp_path / "scan", array, turn=AXIAL)
    for name, extras in (("seg", Extras(dicom_seg=True)), ("nifti", Extras())):
        predict_folder(model, tmp_path / "scan", tmp_path / name, extras=extras, **CPU)
    values = read(tmp_path / "nifti" / "scan.nii.gz")
    segmentation = segread(tmp_path / "seg" / "scan.seg.dcm")
    assert [each.SegmentLabel for each in segmentation.SegmentSequence] == ["whole", "core", "rim"]
    found = segmentation.get_volume().array.transpose(2, 1, 0, 3)
    expected = np.stack([np.isin(values, own) for own in list(REGIONS.values())[1:]], -1)
    assert np.array_equal(found, expected) or np.array_equal(found[:, :, ::-1], expected)
    assert prod(expected.any(axis=(0, 1, 2)))


def test_a_seg_of_regions_is_scored_where_none_overlap(model: Model, tmp_path: Path) -> None:
    """Its segments are regions; where they share voxels, one sentence says what helps."""
    array = write_image(tmp_path / "scan.nii.gz")
    write_series(tmp_path / "scan", array, turn=AXIAL)
    predict_folder(model, tmp_path / "scan", tmp_path / "out", extras=Extras(dicom_seg=True), **CPU)
    with pytest.raises(UserError, match=r"overlapping segments.*share no voxel.*Convert"):
        evaluate_files(pair_files(tmp_path / "out", tmp_path / "out")[0], PLAN.scheme)
    assert values_in(tmp_path / "out" / "scan.seg.dcm", PLAN.scheme)[1:] == (
        LabelClass("label 1", (1,)),
        LabelClass("label 2", ()),
        LabelClass("label 7", ()),
    ), "the outermost region's own voxels; others lie in several regions"


def test_largest_components_are_not_for_regions(model: Model, tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz")
    with pytest.raises(UserError, match="not for regions"):
        model.predict(tmp_path / "a.nii.gz", keep_largest=True, **CPU)
    plain, without = (
        np.asarray(model.predict(tmp_path / "a.nii.gz", **CPU, **each).dataobj)
        for each in ({}, {"keep_largest": False})
    )
    assert np.array_equal(plain, without)
    labels = np.ones((3, 3, 3), np.uint8)
    assert score_case("a", labels, labels, PLAN.scheme, options=Options(largest=True)).largest is None
    assert read_geometry(tmp_path / "a.nii.gz").shape == plain.shape
