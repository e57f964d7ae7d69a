"""A model as users hold it: files, images and arrays agree, in every orientation; names, runs and zip files load."""

import os
import shutil
import subprocess
import sys
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from nibabel.orientations import apply_orientation, inv_ornt_aff
from small_models import ARCHITECTURE, PLAN, save_small_model, small_plan, write_image

import c2fnas
from c2fnas.devices import find_device
from c2fnas.errors import UserError
from c2fnas.export.archive import pack
from c2fnas.inference.model import Model, load_model, predict_folder
from c2fnas.inference.options import Extras, Options, parse_bytes, parse_stride, stated_spacing
from c2fnas.inference.package import load_package
from c2fnas.inference.pretrained import model_folders

TURNED = np.array([[0.0, 0, -1.5, 7], [1, 0, 0, -3], [0, -2, 0, 20], [0, 0, 0, 1]])
ORIENTATIONS = [np.array([order, flips]).T for order in permutations(range(3)) for flips in product((1, -1), repeat=3)]
CPU: dict[str, Any] = {"device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with two folds' models."""
    folder = tmp_path_factory.mktemp("model") / "run"
    for fold in (0, 1):
        save_small_model(folder / "final" / f"fold-{fold}" / "model", seed=fold)
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Model:
    """One model."""
    return load_model(run / "final" / "fold-0")


def array_of(image: Any) -> np.ndarray:
    return np.asarray(image.dataobj)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_file_image_and_array_get_the_same_labels_each_of_its_kind(model: Model, tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "scan.nii.gz"
    array = write_image(path, affine=TURNED, dtype=dtype)
    image = nibabel.load(path)
    label = model.predict(path, **CPU)
    assert isinstance(label, nibabel.Nifti1Image)
    assert np.array_equal(label.affine, image.affine)
    assert set(np.unique(array_of(label))) <= set(model.classes.values())
    of_image = model.predict(image, **CPU)
    assert isinstance(of_image, nibabel.Nifti1Image)
    of_array = model.predict(array, affine=TURNED, **CPU)
    assert isinstance(of_array, np.ndarray)
    assert model.predict(str(path), output=tmp_path / "label.nii.gz", **CPU) == tmp_path / "label.nii.gz"
    assert model.predict(path, output=tmp_path / "out", **CPU) == tmp_path / "out" / "scan.nii.gz"
    written = [nibabel.load(tmp_path / name) for name in ("label.nii.gz", "out/scan.nii.gz")]
    for other in (of_image, *written):
        assert np.array_equal(array_of(other), array_of(label))
        assert array_of(other).dtype == array_of(label).dtype == (np.int16 if dtype is np.int16 else np.uint8)
        for field in ("sform_code", "qform_code", "srow_x", "quatern_b", "pixdim"):
            assert np.array_equal(other.header[field], label.header[field])
    assert np.array_equal(of_array, array_of(label))
    assert of_array.dtype == array_of(label).dtype


def test_monais_tensor_has_its_own_affine(model: Model, tmp_path: Path) -> None:
    """With a channel first, as MONAI loads it; another affine that is given goes before."""
    array = write_image(tmp_path / "scan.nii.gz", affine=TURNED)
    tensor = MetaTensor(torch.from_numpy(array.astype(np.float32))[None], affine=torch.from_numpy(TURNED))
    label = model.predict(array.astype(np.float32), affine=TURNED, **CPU)
    assert np.array_equal(model.predict(tensor, **CPU), label)
    assert np.array_equal(
        model.predict(tensor, affine=np.eye(4), **CPU), model.predict(array.astype(np.float32), affine=np.eye(4), **CPU)
    )


def test_a_bundles_folder_is_a_models_place(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "final/fold-0/model", tmp_path / "Bundle/models")
    assert load_model(tmp_path / "Bundle").classes == load_model(run / "final/fold-0").classes


def test_the_array_given_is_left_as_it_was(model: Model, tmp_path: Path) -> None:
    array = write_image(tmp_path / "a.nii").astype(np.float32)
    before = array.copy()
    model.predict(array, affine=np.eye(4), **CPU)
    assert np.array_equal(array, before)


@pytest.mark.parametrize("votes", [False, True])
def test_all_48_orientations_get_the_labels_of_the_file(run: Path, tmp_path: Path, votes: bool) -> None:
    models = load_model(run) if votes else load_model(run / "final" / "fold-1")
    affine = np.diag([1.5, 1.0, 2.0, 1.0])
    array = write_image(tmp_path / "a.nii.gz", (9, 7, 6), affine=affine)
    expected = array_of(models.predict(tmp_path / "a.nii.gz", **CPU))
    for orientation in ORIENTATIONS:
        turned = apply_orientation(array, orientation)
        moved = affine @ inv_ornt_aff(orientation, array.shape)
        found = models.predict(turned, affine=moved, **CPU)
        assert np.array_equal(found, apply_orientation(expected, orientation)), orientation


def test_channels_are_files_a_fourth_axis_or_the_first_of_an_array(tmp_path: Path) -> None:
    save_small_model(tmp_path / "model", plan=small_plan(channels=PLAN.channels * 2))
    model = load_model(tmp_path / "model")
    files = [tmp_path / f"a_000{channel}.nii.gz" for channel in (0, 1)]
    parts = [write_image(path, seed=seed) for seed, path in enumerate(files)]
    expected = array_of(model.predict(files, **CPU))
    assert np.array_equal(array_of(model.predict(files[1], **CPU)), expected)
    assert np.array_equal(array_of(model.predict(nibabel.Nifti1Image(np.stack(parts, -1), np.eye(4)), **CPU)), expected)
    vectors = nibabel.Nifti1Image(np.stack(parts, -1)[..., None, :], np.eye(4))
    assert np.array_equal(array_of(model.predict(vectors, **CPU)), expected)
    assert np.array_equal(model.predict(np.stack(parts), affine=np.eye(4), **CPU), expected)
    with pytest.raises(UserError, match="1 channels"):
        model.predict(parts[0], affine=np.eye(4), **CPU)


@pytest.mark.parametrize("vote", ["majority", "mean"])
@pytest.mark.parametrize("votes", [False, True])
def test_probabilities_agree_with_labels(run: Path, tmp_path: Path, votes: bool, vote: Any) -> None:
    models = load_model(run) if votes else load_model(run / "final" / "fold-0")
    array = write_image(tmp_path / "a.nii.gz", affine=TURNED)
    labels, scores = models.predict(array, affine=TURNED, probabilities=True, vote=vote, **CPU)
    assert scores.shape == (3, *array.shape)
    assert scores.dtype == np.float32
    assert np.allclose(scores.sum(0), 1, atol=1e-5)
    assert np.array_equal(labels, models.predict(array, affine=TURNED, vote=vote, **CPU))
    if not votes or vote == "mean":
        indices = np.searchsorted(list(models.classes.values()), labels)
        own = np.take_along_axis(scores, indices[None], 0)[0]
        assert np.allclose(own, scores.max(0), atol=1e-6)
    _, image = models.predict(tmp_path / "a.nii.gz", probabilities=True, vote=vote, **CPU)
    assert np.array_equal(array_of(image), np.moveaxis(scores, 0, -1))
    assert np.array_equal(image.affine, TURNED)


def test_probabilities_are_the_mean_of_each_models_own(run: Path, tmp_path: Path) -> None:
    plan = small_plan(spacing=(1.5, 1.0, 2.0))  # as the image's: nothing is resampled
    for seed in (0, 1):
        save_small_model(tmp_path / str(seed), seed=seed, plan=plan)
    array = write_image(tmp_path / "a.nii.gz")
    affine = np.diag([1.5, 1.0, 2.0, 1.0])
    own = []
    for seed in (0, 1):
        package = load_package(tmp_path / str(seed))
        normal = array.astype(np.float32)
        normal = (normal - normal.mean()) / normal.std()
        own.append(package.window().scores(package.network, normal[None], device="cpu").softmax(0).numpy())
    both = load_model(tmp_path / "0", tmp_path / "1")
    _, scores = both.predict(array, affine=affine, probabilities=True, **CPU)
    assert np.allclose(scores, np.mean(own, 0), atol=1e-4)


def test_outside_of_the_crop_all_is_background(tmp_path: Path) -> None:
    save_small_model(tmp_path / "model", plan=small_plan(crop_nonzero=True))
    array = np.zeros((12, 11, 10), np.int16)
    array[2:9, 3:10, 1:8] = write_image(tmp_path / "a.nii", (7, 7, 7))
    labels, scores = load_model(tmp_path / "model").predict(array, affine=np.eye(4), probabilities=True, **CPU)
    outside = array == 0
    assert (labels[outside] == 0).all()
    assert (scores[0][outside] == 1).all()
    assert np.allclose(scores.sum(0), 1, atol=1e-5)


def test_other_formats_come_and_go(model: Model, tmp_path: Path) -> None:
    array = write_image(tmp_path / "a.nii.gz", affine=TURNED)
    label = model.predict(tmp_path / "a.nii.gz", **CPU)
    for suffix in (".mha", ".nrrd", ".nii"):
        path = model.predict(array, affine=TURNED, output=tmp_path / f"label{suffix}", **CPU)
        again = model.predict(path, **CPU)  # a label is an image like any other
        assert np.allclose(again.affine, label.affine)
    assert np.array_equal(array_of(nibabel.load(tmp_path / "label.nii")), array_of(label))


def test_a_folder_is_labelled_and_carried_on(run: Path, tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / "in" / f"{name}.nii.gz", seed=ord(name))
    (tmp_path / "in" / "c.nii.gz").write_bytes(b"no volume")
    models, calls = load_model(run), []
    predicted = models.predict(tmp_path / "in", output=tmp_path / "out", **CPU)
    assert (predicted.folder, predicted.done, [each.case for each in predicted.failures]) == (
        tmp_path / "out",
        ("a", "b"),
        ["c"],
    )
    assert "2 cases predicted" in predicted.text()
    assert "1 of 3 cases failed" in predicted.failure_text()
    again = predict_folder(
        [run], tmp_path / "in", tmp_path / "out", on_progress=lambda *each: calls.append(each), **CPU
    )
    assert again.kept == ("a", "b")
    assert again.to_json()["failures"][0]["case"] == "c"
    assert calls[-1] == (3, 1, 3)
    for name in "ab":
        alone = models.predict(tmp_path / "in" / f"{name}.nii.gz", **CPU)
        assert np.array_equal(array_of(alone), array_of(nibabel.load(tmp_path / "out" / f"{name}.nii.gz")))


def test_a_case_that_fails_alone_is_an_error(model: Model, tmp_path: Path) -> None:
    (tmp_path / "c.nii.gz").write_bytes(b"no volume")
    for output in (None, tmp_path / "out", tmp_path / "label.nii.gz"):
        with pytest.raises(UserError, match=r"c\.nii\.gz"):
            model.predict(tmp_path / "c.nii.gz", output=output, **CPU)


def unsound() -> dict[str, tuple[np.ndarray, Any]]:
    array = np.ones((8, 8, 8), np.float32)
    hole, sheared = array.copy(), np.eye(4)
    hole[3, 3, 3], sheared[0, 1] = np.nan, 0.5
    return {
        "NaN": (hole, np.eye(4)),
        "sheared": (array, sheared),
        "affine=": (array, None),
        "2 axes": (array[0], np.eye(4)),
        "complex": (array.astype(np.complex64), np.eye(4)),
        "4×4": (array, np.eye(3)),
    }


@pytest.mark.parametrize("said", list(unsound()))
def test_an_unsound_array_is_refused_as_a_file_would_be(model: Model, said: str) -> None:
    array, affine = unsound()[said]
    with pytest.raises(UserError, match=said):
        model.predict(array, affine=affine, **CPU)


def test_outputs_that_make_no_sense_are_refused(model: Model, tmp_path: Path) -> None:
    array = write_image(tmp_path / "in" / "a.nii.gz")
    image = tmp_path / "in" / "a.nii.gz"
    before = image.read_bytes()
    for call in (
        lambda: model.predict(tmp_path / "in"),
        lambda: model.predict(tmp_path / "in", output=tmp_path / "all.nii.gz"),
        lambda: model.predict(image, output=image),
        lambda: model.predict(image, output=image.parent),
        lambda: model.predict(image, output=tmp_path / "b.nii.gz", probabilities=True),
        lambda: model.predict(array, affine=np.eye(4), output=tmp_path / "folder"),
        lambda: model.predict(image, affine=np.eye(4)),
    ):
        with pytest.raises(UserError):
            call()
    assert image.read_bytes() == before


def test_a_zip_file_is_a_model(run: Path, model: Model, tmp_path: Path) -> None:
    pack(run / "final" / "fold-0" / "model", tmp_path / "small.zip")
    array = write_image(tmp_path / "a.nii.gz")
    zipped = load_model(tmp_path / "small.zip")
    unpacked = zipped.packages[0].folder
    assert np.array_equal(*(each.predict(array, affine=np.eye(4), **CPU) for each in (zipped, model)))
    assert len(load_model(tmp_path / "small.zip", run / "final" / "fold-1").packages) == 2
    assert unpacked.is_dir()
    del zipped
    assert not unpacked.exists()
    (tmp_path / "other.zip").write_bytes(b"none")
    with pytest.raises(UserError, match="not a zip file"):
        load_model(tmp_path / "other.zip")


def test_what_a_model_says_of_itself(run: Path, tmp_path: Path) -> None:
    models = load_model(run)
    assert models.architecture == ARCHITECTURE
    assert models.classes == {"background": 0, "organ": 2, "lesion": 5}
    assert models.plan.patch_size == (8, 8, 8)
    assert "2 × 0:3D" in repr(models)
    save_small_model(tmp_path / "other", plan=small_plan(patch_size=(16, 8, 8)))
    with pytest.raises(UserError, match="patch_size"):
        load_model(run, tmp_path / "other")


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 9},
        {"stride": "4,4"},
        {"max_memory": "much"},
        {"device": "gpu"},
        {"device": "cuda:99"},
        {"precision": "fp8"},
        {"vote": "Mean"},
    ],
)
def test_a_wrong_option_is_named(model: Model, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=str(next(iter(options.values())))):
        model.predict(np.ones((8, 8, 8)), affine=np.eye(4), **options)


def test_mistakes_are_found_without_torch(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz")
    code = f"""
import sys
from c2fnas.errors import UserError
from c2fnas.inference.model import predict_folder
image, out = {str(tmp_path / "a.nii.gz")!r}, {str(tmp_path / "out")!r}
for model, images, options in (
    ("nowhere", image, {{}}), ("hippocampus", "nowhere", {{}}), ("hippocampus", image, dict(device="gpu")),
    ("hippocampus", image, dict(stride="many")), ("hippocampus", image, dict(max_memory="much")),
):
    try:
        predict_folder(model, images, out, **options)
    except UserError:
        continue
    raise SystemExit("not refused")
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
    assert not (tmp_path / "out").exists()


def test_devices() -> None:
    assert find_device("auto") == ("cuda:0" if torch.cuda.is_available() else "cpu")
    assert find_device("cpu") == "cpu"
    assert Options(device="cuda:3").device == "cuda:3"
    for name in ("gpu", "cuda:", "cuda:x", "", "cpu,cuda"):
        with pytest.raises(UserError, match="unknown device"):
            Options(device=name)


def test_a_run_stands_for_its_folds_models(run: Path) -> None:
    packages = [run / "final" / f"fold-{fold}" / "model" for fold in (0, 1)]
    assert model_folders([run]) == model_folders([run / "final"]) == model_folders([run, packages[1]]) == packages
    assert model_folders([run / "final" / "fold-1"]) == [packages[1]]
    with pytest.raises(UserError, match="no model here"):
        model_folders([run.parent])


def test_numbers_of_options() -> None:
    assert parse_stride(16) == parse_stride((16, 16, 16)) == parse_stride("16") == (16, 16, 16)
    assert parse_stride("16, 16, 4") == parse_stride([16, 16, 4]) == parse_stride(np.array([16, 16, 4])) == (16, 16, 4)
    header = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.diag([1.25, 1.25, 8, 1])).header
    assert stated_spacing(header.get_zooms()) == stated_spacing([1.25, 1.25, 8]) == (1.25, 1.25, 8.0)
    sizes = {"8G": 8 * 2**30, "512 MB": 2**29, "1.5GiB": 3 * 2**29, "1000": 1000, "2k": 2048}
    assert {text: parse_bytes(text) for text in sizes} == sizes
    assert parse_bytes(4096) == 4096
    for wrong in ("", "8X", "-1G", "0", "G"):
        with pytest.raises(UserError):
            parse_bytes(wrong)


def test_a_prediction_imports_neither_monai_nor_fabric(run: Path, tmp_path: Path) -> None:
    """Their import takes longer than a small image."""
    write_image(tmp_path / "a.nii.gz")
    program = (
        "import sys, c2fnas; model = c2fnas.load_model(sys.argv[1]); model.predict(sys.argv[2], device='cpu'); "
        "print(*({'monai', 'lightning_fabric', 'matplotlib', 'highdicom', 'SimpleITK', 'optuna'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, run, tmp_path / "a.nii.gz"], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == []


@pytest.mark.parametrize(("unit", "millimetres"), [("meter", 1000.0), ("micron", 0.001)])
def test_an_image_in_other_units_is_labelled_like_its_file(
    model: Model, tmp_path: Path, unit: str, millimetres: float
) -> None:
    array = write_image(tmp_path / "mm.nii.gz", affine=TURNED)
    scaled = np.diag([*[1 / millimetres] * 3, 1.0]) @ TURNED
    image = nibabel.Nifti1Image(array, scaled)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "other.nii.gz")
    of_file = array_of(model.predict(tmp_path / "other.nii.gz", **CPU))
    of_image = model.predict(nibabel.load(tmp_path / "other.nii.gz"), **CPU)
    assert of_file.any()
    assert np.array_equal(array_of(of_image), of_file)
    assert of_image.header.get_xyzt_units()[0] == unit
    assert np.allclose(of_image.affine, scaled)


def test_a_table_of_several_images_is_no_single_image(model: Model, tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / f"{name}.nii.gz")
    (tmp_path / "both.csv").write_text("image\na.nii.gz\nb.nii.gz\n")
    with pytest.raises(UserError, match="2 cases"):
        model.predict(tmp_path / "both.csv", **CPU)


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_labels_go_to_one_file(model: Model, tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / "a.nii.gz")
    with pytest.raises(UserError, match="Name one file"):
        model.predict(tmp_path / "a.nii.gz", output=tmp_path / f"label{suffix}", **CPU)
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


def test_what_is_no_image_is_a_sentence(model: Model) -> None:
    with pytest.raises(UserError, match="empty list"):
        model.predict([], **CPU)
    with pytest.raises(UserError, match="needs affine="):
        model.predict(np.ones((8, 8, 8)), affine=np.full((4, 4), "1"), **CPU)
    with pytest.raises(UserError, match="--save-probabilities images: give image or network"):
        Extras(probabilities="images")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="--format dicom: give image or dicom-seg"):
        c2fnas.predict("hippocampus", input="nowhere", output="labels", format="dicom")  # type: ignore[arg-type]
