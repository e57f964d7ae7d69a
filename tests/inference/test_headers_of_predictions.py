"""Labels keep the header, the name and the place of their image, whatever that header says of itself."""

import json
import logging
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from small_models import PLAN, save_small_model, write_image

from c2fnas.errors import UserError
from c2fnas.inference.model import Model, load_model, predict_folder
from c2fnas.inference.options import Extras
from c2fnas.inference.package import load_package, save_package
from c2fnas.inference.quality import Seen

FIELDS = ("qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "xyzt_units")
FIELDS += ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
TRUE = (0.5, 0.75, 2.0)
SEEN = Seen(
    spacing=tuple((mm, mm) for mm in TRUE),
    volumes_ml=((0, 1), (0, 1)),
    intensities=((-1, 1),),
    stated_headers=((1.0, 1.0, 1.0),),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("headers") / "model"
    save_small_model(folder)
    return load_model(folder)


@pytest.fixture(scope="module")
def stated_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model of images whose headers said 1 mm, and for which another spacing was stated."""
    folder = tmp_path_factory.mktemp("stated")
    save_small_model(folder / "first")
    first = load_package(folder / "first")
    save_package(folder / "model", first.network, first.design, PLAN, card="", weighting="constant", seen=SEEN)
    return load_model(folder / "model")


def written(path: Path, kind: type, **fields: Any) -> Path:
    """An image whose raw header has ``fields``, whatever nibabel would make of them."""
    array = np.random.default_rng(0).normal(100, 30, (9, 11, 7)).astype(np.int16)
    image = kind(array, None)
    header = image.header
    header.set_zooms((0.9, 1.1, 1.3))
    for name, value in fields.items():
        header[name] = value
    image.to_filename(path)
    return path


SFORM = {"sform_code": 1, "srow_x": [-0.9, 0, 0, 4], "srow_y": [0, 1.1, 0, -3], "srow_z": [0, 0, 1.3, 2]}
QFORM = {"qform_code": 1, "quatern_d": 1.0, "qoffset_x": 5.0, "qoffset_y": -2.0, "qoffset_z": 1.0}
HEADERS: dict[str, dict[str, Any]] = {
    "no codes": {},
    "no codes, matrices that count for nothing": {**SFORM, **QFORM, "sform_code": 0, "qform_code": 0},
    "a qform alone": QFORM,
    "a sform alone": {**SFORM, "sform_code": 4},
    "two that disagree": {**SFORM, **QFORM},
    "metres": {
        "sform_code": 1, "xyzt_units": 1,
        "srow_x": [1e-3, 0, 0, 0], "srow_y": [0, 1e-3, 0, 0], "srow_z": [0, 0, 1e-3, 0],
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [(nibabel.Nifti1Image, ".nii"), (nibabel.Nifti1Image, ".NII.GZ"), (nibabel.Nifti2Image, ".nii.gz")],
)
@pytest.mark.parametrize("name", HEADERS)
def test_codes_zooms_and_both_matrices_are_the_images(
    name: str, kind: type, suffix: str, model: Model, tmp_path: Path
) -> None:
    path = written(tmp_path / f"Scan{suffix}", kind, **HEADERS[name])
    model.predict(path, output=tmp_path / "out", device="cpu")
    label = tmp_path / "out" / path.name
    assert [file.name for file in label.parent.glob("Scan*")] == [path.name]
    ours, theirs = nibabel.load(label), nibabel.load(path)
    assert type(ours) is type(theirs)
    for field in FIELDS:
        assert np.array_equal(ours.header[field], theirs.header[field]), field
    assert np.array_equal(ours.header["pixdim"][:4], theirs.header["pixdim"][:4])
    assert np.allclose(ours.affine, theirs.affine)


def test_a_nibabel_image_gives_one_of_the_same_header(model: Model, tmp_path: Path) -> None:
    image = nibabel.load(written(tmp_path / "a.nii", nibabel.Nifti1Image))
    found = model.predict(image, device="cpu")
    found.to_filename(tmp_path / "b.nii")
    back = nibabel.load(tmp_path / "b.nii").header
    assert (int(back["sform_code"]), int(back["qform_code"])) == (0, 0)
    assert back.get_zooms() == image.header.get_zooms()


def test_a_stated_spacing_labels_as_a_corrected_header_does_and_leaves_the_header(
    stated_model: Model, tmp_path: Path
) -> None:
    """Two ways to one label: the spacing stated, and a copy of the image whose header has it."""
    lost, right = tmp_path / "lost.nii.gz", tmp_path / "right.nii.gz"
    write_image(lost, (12, 10, 7))
    write_image(right, (12, 10, 7), affine=np.diag([*TRUE, 1]))
    stated_model.predict(lost, output=tmp_path / "stated", spacing="0.5,0.75,2", device="cpu")
    stated_model.predict(right, output=tmp_path / "told", device="cpu")
    ours, theirs = nibabel.load(tmp_path / "stated" / lost.name), nibabel.load(tmp_path / "told" / right.name)
    assert np.array_equal(ours.dataobj, theirs.dataobj)
    assert len(np.unique(ours.dataobj)) > 1
    assert np.array_equal(ours.affine, np.eye(4))


def test_it_is_asked_for_where_a_header_looks_as_in_training(stated_model: Model, tmp_path: Path) -> None:
    assert stated_model.plan.stated_headers == ((1.0, 1.0, 1.0),)
    assert stated_model.plan.seen == SEEN
    write_image(tmp_path / "images" / "a.nii.gz")
    with pytest.raises(UserError, match=r"a\.nii\.gz \(1×1×1 mm\).*--spacing"):
        stated_model.predict(tmp_path / "images", output=tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()
    array = np.asarray(nibabel.load(tmp_path / "images" / "a.nii.gz").dataobj)
    with pytest.raises(UserError, match="--spacing"):
        stated_model.predict(array, affine=np.eye(4), device="cpu")
    assert stated_model.predict(array, affine=np.eye(4), spacing=TRUE, device="cpu").shape == array.shape


@pytest.mark.parametrize(("mm", "far"), [(1.0, False), (1.9, False), (0.6, False), (0.001, True), (4.0, True)])
def test_a_spacing_far_from_training_is_said_before_anything_is_read(
    mm: float, far: bool, model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the voxels and the memory that resampling would come to."""
    write_image(tmp_path / "a.nii.gz", (3, 4, 5), affine=np.diag([mm, mm, mm, 1]))
    with caplog.at_level(logging.WARNING):
        model.predict(tmp_path / "a.nii.gz", output=tmp_path / "out", device="cpu")
    text = caplog.text
    assert ("a.nii.gz: spacing" in text) == far
    if far:
        size = "×".join(str(max(1, round(n * mm))) for n in (3, 4, 5))
        assert f"3×4×5 voxels become {size}, " in text
        assert "MiB" in text
        assert "--spacing" in text


def test_figures_are_those_of_the_stated_spacing(stated_model: Model, tmp_path: Path) -> None:
    """Two ways to one figure: the spacing stated, as an option or in a table, and an image whose header has it."""
    for name, affine in (("lost", None), ("right", np.diag([*TRUE, 1]))):
        write_image(tmp_path / name / "a.nii.gz", (12, 10, 7), affine=affine)
    (tmp_path / "table.csv").write_text("id,image,spacing\na,lost/a.nii.gz,0.5 0.75 2\n")
    told = {
        "stated": (tmp_path / "lost", TRUE),
        "table": (tmp_path / "table.csv", None),
        "right": (tmp_path / "right", None),
    }
    extras = Extras("network", statistics=True)
    for name, (images, spacing) in told.items():
        done = predict_folder(
            stated_model, images, tmp_path / "out" / name, spacing=spacing, device="cpu", extras=extras
        )
        assert done.done == ("a",)
    stated, table, right = (json.loads((tmp_path / "out" / name / "statistics.json").read_text()) for name in told)
    assert stated == table == right
    organ = right["a"]["classes"]["organ"]
    assert organ["volume_ml"] == pytest.approx(organ["voxels"] * np.prod(TRUE) / 1000)
    assert organ["voxels"] > 0
    assert nibabel.load(tmp_path / "out" / "table" / "a.nii.gz").header.get_zooms() == (1, 1, 1)
    _, found = stated_model.predict(tmp_path / "lost" / "a.nii.gz", spacing=TRUE, statistics=True, device="cpu")
    assert found == right["a"]


@pytest.mark.parametrize("text", ["1,2", "0,1,1", "-1", "a", "nan", "1,1,inf"])
def test_a_spacing_that_is_none(text: str, model: Model, tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz")
    with pytest.raises(UserError, match="--spacing"):
        model.predict(tmp_path / "a.nii.gz", spacing=text, device="cpu")


def test_predictions_of_another_stated_spacing_are_others(model: Model, tmp_path: Path) -> None:
    """What made the labels is kept: the spacing that was stated belongs to it."""
    write_image(tmp_path / "in" / "a.nii.gz")
    model.predict(tmp_path / "in", output=tmp_path / "out", spacing="1,1,2", device="cpu")
    kept = model.predict(tmp_path / "in", output=tmp_path / "out", spacing="1,1,2", device="cpu")
    assert kept.kept == ("a",)
    with pytest.raises(UserError, match="--overwrite"):
        model.predict(tmp_path / "in", output=tmp_path / "out", spacing="1,1,3", device="cpu")
