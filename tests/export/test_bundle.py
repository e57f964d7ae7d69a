"""An exported bundle in MONAI's hands: its own checks, a run from the command line, and a fine-tuning."""

import http.client
import json
import logging
import os
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow, verify_metadata, verify_net_in_out
from monai.inferers import SlidingWindowInferer
from small_datasets import resave
from small_models import save_small_model, small_plan, write_image, write_labels

from c2fnas.data.plan import ClassPlan
from c2fnas.data.preprocess import prepare_image
from c2fnas.errors import UserError
from c2fnas.evaluation.metrics import dice_per_class
from c2fnas.export.bundle import MODEL_FOLDER, export_bundle
from c2fnas.export.bundle_configs import SCHEMA, inference, metadata, sliding_window, training
from c2fnas.export.bundle_parts import Prepare, Restore, labelled
from c2fnas.export.bundle_parts import images as list_images
from c2fnas.export.preparation_text import interpretation
from c2fnas.inference.package import CARD, Package, load_package, store_keep_largest
from c2fnas.inference.predict import predict_cases
from c2fnas.inference.prediction_files import find_cases
from c2fnas.inference.predictor import Predictor
from c2fnas.inference.quality import Seen

LEFT_HANDED = np.array([[-1.0, 0, 0, 30], [0, 0, 2.0, -5], [0, 1.2, 0, 7], [0, 0, 0, 1]])
"""An image whose axes are flipped and exchanged, with spacings that make it resampled."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a small model that averages mirrored views."""
    folder = tmp_path_factory.mktemp("bundle")
    save_small_model(folder / "model", mirror=True, plan=small_plan(stride=(5, 4, 8), foreground_rate=0.3))
    export_bundle(load_package(folder / "model"), folder / "bundle")
    return folder / "bundle"


@pytest.fixture(scope="module")
def images(bundle: Path) -> Path:
    """Images to predict."""
    write_image(bundle.parent / "images" / "a.nii.gz", (12, 9, 14), affine=LEFT_HANDED)
    write_image(bundle.parent / "images" / "b.nii.gz", (7, 11, 9), seed=1)
    return bundle.parent / "images"


@pytest.fixture(scope="module")
def dataset(bundle: Path) -> Path:
    """Four labelled cases in the Decathlon's layout."""
    folder = bundle.parent / "dataset"
    entries = []
    for seed, name in enumerate("abcd"):
        image = write_image(folder / "imagesTr" / f"{name}.nii.gz", (11, 9, 10), seed=seed)
        write_labels(folder / "labelsTr" / f"{name}.nii.gz", image)
        entries.append({"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"})
    manifest = {
        "name": "Small",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "2": "organ", "5": "lesion"},
        "numTraining": 4,
        "training": entries,
        "test": [],
    }
    (folder / "dataset.json").write_text(json.dumps(manifest))
    return folder


def workflow(bundle: Path, name: str, kind: str, **changes: Any) -> ConfigWorkflow:
    """A configuration of the bundle as MONAI reads it, initialised."""
    configs = bundle / "configs"
    found = ConfigWorkflow(
        str(configs / f"{name}.json"),
        str(configs / "metadata.json"),
        logging_file=False,
        workflow_type=kind,
        bundle_root=str(bundle),
        device="$torch.device('cpu')",
        **changes,
    )
    found.initialize()
    return found


def test_the_package_lies_in_it_whole(bundle: Path) -> None:
    original = load_package(bundle.parent / "model")
    assert load_package(bundle / MODEL_FOLDER).checksum == original.checksum
    assert not [path for path in bundle.rglob("*") if path.suffix in (".pt", ".pth", ".ts", ".pkl")]
    readme = (bundle / "docs" / "README.md").read_text()
    assert readme.startswith("# Small")
    assert "monai.bundle run" in readme
    with pytest.raises(UserError, match="something already"):
        export_bundle(original, bundle)


def test_what_lies_beside_a_model_stays_there_and_any_card_will_do(tmp_path: Path) -> None:
    save_small_model(tmp_path / "model")
    (tmp_path / "model" / "notes.pkl").write_bytes(b"mine")
    (tmp_path / "model" / CARD).write_bytes("# Größe".encode("latin-1"))
    export_bundle(load_package(tmp_path / "model"), tmp_path / "bundle")
    assert not list((tmp_path / "bundle").rglob("*.pkl"))
    assert (tmp_path / "bundle" / "docs" / "README.md").read_text().startswith("# Gr\ufffd\ufffde")


def test_its_windows_are_those_of_the_plan(bundle: Path) -> None:
    for patch, stride in (((96, 96, 96), (16, 16, 4)), ((40, 56, 40), (20, 28, 40)), ((7, 9, 11), (1, 2, 3))):
        model = load_package(bundle / MODEL_FOLDER)
        config = sliding_window(model.plan.model_copy(update={"patch_size": patch, "stride": stride}))
        assert [int(side * (1 - overlap)) for side, overlap in zip(patch, config["overlap"], strict=True)] == [*stride]


def test_its_scores_are_those_of_our_own_window(bundle: Path, images: Path) -> None:
    model = load_package(bundle / MODEL_FOLDER)
    image, _ = prepare_image((images / "a.nii.gz",), model.plan)
    config = sliding_window(model.plan)
    config.pop("_target_")
    with torch.no_grad():
        theirs = SlidingWindowInferer(**config)(torch.from_numpy(image)[None], model.network)
    ours = model.window().scores(model.network, image, device="cpu")
    assert isinstance(theirs, torch.Tensor)
    assert torch.allclose(theirs[0], ours, atol=1e-4)


def test_labels_there_and_back(dataset: Path, bundle: Path) -> None:
    """Prepared with labels as scores, a case comes back as its label file."""
    model = load_package(bundle / MODEL_FOLDER)
    plan = model.plan
    item = Prepare(plan)(labelled(str(dataset), model)[0])
    assert item["image"].shape == (1, 11, 9, 10)
    assert item["image"].dtype == torch.float32
    scores = torch.nn.functional.one_hot(item["label"][0].long(), 3).permute(3, 0, 1, 2).float()
    back = Restore(plan)(item | {"pred": scores})["pred"]
    truth = nibabel.load(dataset / "labelsTr" / "a.nii.gz")
    assert np.array_equal(back[0].numpy(), np.asarray(truth.dataobj))  # type: ignore[attr-defined]
    assert np.array_equal(back.affine.numpy(), truth.affine)  # type: ignore[attr-defined]


def test_large_label_values_are_kept(dataset: Path, bundle: Path) -> None:
    model = load_package(bundle / MODEL_FOLDER)
    plan = model.plan
    classes = (*plan.classes[:2], plan.classes[2].model_copy(update={"values": (70_000,)}))
    item = Prepare(plan)(labelled(str(dataset), model)[0])
    scores = torch.nn.functional.one_hot(torch.full((11, 9, 10), 2), 3).permute(3, 0, 1, 2).float()
    back = Restore(plan.model_copy(update={"classes": classes}))(item | {"pred": scores})["pred"]
    assert back.unique().tolist() == [70_000]


def test_a_data_set_of_one_case_is_refused(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "one")
    manifest = json.loads((dataset / "dataset.json").read_text())
    single = {"numTraining": 1, "training": manifest["training"][:1]}
    (tmp_path / "one" / "dataset.json").write_text(json.dumps(manifest | single))
    with pytest.raises(UserError, match="1 labelled cases; fine-tuning needs"):
        labelled(str(tmp_path / "one"), load_package(bundle / MODEL_FOLDER))


@pytest.mark.long
@pytest.mark.parametrize(("name", "kind"), [("inference", "infer"), ("train", "train")])
def test_no_property_is_missing(bundle: Path, images: Path, dataset: Path, name: str, kind: str) -> None:
    data = images if kind == "infer" else dataset
    assert workflow(bundle, name, kind, dataset_dir=str(data)).check_properties() == []


def test_a_property_by_another_name_would_be_noticed(bundle: Path, images: Path, tmp_path: Path) -> None:
    config = json.loads((bundle / "configs" / "inference.json").read_text())
    config["afterwards"] = config.pop("postprocessing")
    config["evaluator"]["postprocessing"] = "@afterwards"
    (tmp_path / "inference.json").write_text(json.dumps(config))
    other = ConfigWorkflow(
        str(tmp_path / "inference.json"),
        str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(bundle),
        dataset_dir=str(images),
    )
    other.initialize()
    assert other.check_properties() == ["postprocessing"]


@pytest.mark.parametrize("name", ["inference", "train"])
def test_the_network_is_as_the_metadata_says(bundle: Path, name: str) -> None:
    places = {"meta_file": bundle / "configs" / "metadata.json", "config_file": bundle / "configs" / f"{name}.json"}
    files = {key: str(path) for key, path in places.items()}
    verify_net_in_out("network_def", **files, device="cpu", bundle_root=str(bundle))
    changes = {"_meta_#network_data_format#outputs#pred#num_channels": 4}
    with pytest.raises(ValueError, match="output channel number"):
        verify_net_in_out("network_def", **files, device="cpu", bundle_root=str(bundle), **changes)


def test_the_metadata_agrees_with_monais_schema(bundle: Path, tmp_path: Path) -> None:
    """MONAI checks by the file that is there, and would else fetch it."""
    try:
        with urllib.request.urlopen(SCHEMA, timeout=20) as answer:
            schema = json.load(answer)
    except (OSError, http.client.HTTPException, ValueError) as error:
        pytest.skip(f"MONAI's schema can't be had: {error}")
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    verify_metadata(str(bundle / "configs" / "metadata.json"), filepath=tmp_path / "schema.json")


def test_the_metadata_has_what_the_specification_requires(bundle: Path) -> None:
    """The keys that MONAI's page on bundles lists as required, and JSON's own types."""
    model = load_package(bundle / MODEL_FOLDER)
    found = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert found == metadata(model)
    texts = {
        "version",
        "monai_version",
        "pytorch_version",
        "numpy_version",
        "task",
        "description",
        "authors",
        "copyright",
        "schema",
    }
    assert all(isinstance(found[key], str) and found[key] for key in texts)
    assert found["required_packages_version"]["c2fnas"]
    for place, key, channels in (("inputs", "image", 1), ("outputs", "pred", 3)):
        tensor = found["network_data_format"][place][key]
        assert {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"} <= set(tensor)
        assert tensor["num_channels"] == channels == len(tensor["channel_def"])
        assert tensor["spatial_shape"] == [8, 8, 8]


def test_a_stated_spacing_labels_as_predict_does(bundle: Path, images: Path, tmp_path: Path) -> None:
    """By the option, or by a table of images; the labels keep their image's header."""
    model = load_package(bundle / MODEL_FOLDER)
    table = tmp_path / "images.csv"
    table.write_text("".join(["id,image,spacing\n", *(f"{name},{images}/{name}.nii.gz,1.4 1 1.7\n" for name in "ab")]))
    theirs = {"option": {"dataset_dir": str(images), "spacing": "1.4,1,1.7"}, "table": {"dataset_dir": str(table)}}
    for name, changes in theirs.items():
        workflow(bundle, "inference", "infer", output_dir=str(tmp_path / name), **changes).run()
    for name, spacing in (("stated", (1.4, 1, 1.7)), ("plain", None)):
        predictor = Predictor((model,), model.window(), mirror=True, device="cpu", spacing=spacing)
        predict_cases(predictor, find_cases(images, 1), tmp_path / name)
    for name in ("a.nii.gz", "b.nii.gz"):
        found = {place: nibabel.load(tmp_path / place / name) for place in (*theirs, "stated", "plain")}
        values = {place: np.asarray(each.dataobj) for place, each in found.items()}  # type: ignore[attr-defined]
        assert (values["stated"] != values["plain"]).mean() > 0.01
        for place in theirs:
            assert (values[place] == values["stated"]).mean() >= 0.999
            assert np.allclose(found[place].affine, nibabel.load(images / name).affine)  # type: ignore[attr-defined]


def test_a_header_for_which_another_spacing_was_stated_is_refused(bundle: Path, images: Path, dataset: Path) -> None:
    model = load_package(bundle / MODEL_FOLDER)
    seen = Seen(
        spacing=((2, 2), (2, 2), (2, 2)),
        volumes_ml=((0, 1), (0, 1)),
        intensities=((-1, 1),),
        stated_headers=((1.0, 1.0, 1.0),),
    )
    told = replace(model, plan=model.plan.model_copy(update={"seen": seen}))
    for part, folder in ((list_images, images), (labelled, dataset)):
        with pytest.raises(UserError, match=r"another spacing was stated.*--spacing I,J,K"):
            part(str(folder), told)
        assert {each["spacing"] for each in part(str(folder), told, "2")} == {(2.0, 2.0, 2.0)}
    first = labelled(str(dataset), model, "2,2,2")[0]
    assert Prepare(model.plan)(first)["image"].shape == (1, 22, 18, 20)
    assert Prepare(model.plan)(first)["label"].shape == (1, 22, 18, 20)
    with pytest.raises(UserError, match="one number or three"):
        labelled(str(dataset), model, "none")


@pytest.mark.long
def test_from_the_command_line_its_labels_are_ours(bundle: Path, images: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "monai.bundle",
        "run",
        "--config_file",
        "configs/inference.json",
        "--meta_file",
        "configs/metadata.json",
        "--bundle_root",
        ".",
        "--dataset_dir",
        str(images),
        "--output_dir",
        str(tmp_path / "theirs"),
        "--device",
        "$torch.device('cpu')",
    ]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=bundle, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model = load_package(bundle / MODEL_FOLDER)
    predictor = Predictor((model,), model.window(), mirror=True, device="cpu")
    predict_cases(predictor, find_cases(images, 1), tmp_path / "ours")
    for name in ("a.nii.gz", "b.nii.gz"):
        theirs, ours = (nibabel.load(tmp_path / place / name) for place in ("theirs", "ours"))
        found, expected = (np.asarray(each.dataobj) for each in (theirs, ours))  # type: ignore[attr-defined]
        assert len(np.unique(expected)) > 1
        assert (found == expected).mean() >= 0.999
        assert np.allclose(theirs.affine, ours.affine)  # type: ignore[attr-defined]


@pytest.mark.long
@pytest.mark.parametrize("regions", [True, False])
def test_a_bundle_of_regions_or_ignored_voxels_predicts_as_we_do_and_is_fine_tuned(
    regions: bool, dataset: Path, images: Path, tmp_path: Path
) -> None:
    names = (
        {"background": (0,), "whole": (2, 5), "core": (5,)} if regions else {"background": (0,), "a": (2,), "b": (5,)}
    )
    classes = tuple(ClassPlan(name=name, values=values) for name, values in names.items())
    plan = small_plan(classes=classes, ignore=9, regions_class_order=(2, 5) if regions else None)
    save_small_model(tmp_path / "model", plan=plan, classes=plan.outputs)
    model, bundle = load_package(tmp_path / "model"), tmp_path / "bundle"
    export_bundle(model, bundle)
    workflow(bundle, "inference", "infer", dataset_dir=str(images), output_dir=str(tmp_path / "theirs")).run()
    predict_cases(Predictor((model,), model.window(), device="cpu"), find_cases(images, 1), tmp_path / "ours")
    for name in ("a.nii.gz", "b.nii.gz"):
        found, expected = (np.asarray(nibabel.load(tmp_path / place / name).dataobj) for place in ("theirs", "ours"))  # type: ignore[attr-defined]
        assert {*np.unique(expected)} <= {0, 2, 5}
        assert (found == expected).mean() >= 0.999
    marked = shutil.copytree(dataset, tmp_path / "marked")
    for path in (marked / "labelsTr").iterdir():
        resave(path, lambda label: np.where(np.arange(label.shape[0])[:, None, None] < 6, 9, label).astype(np.uint8))
    order = {"regions_class_order": [2, 5]} if regions else {}
    labels = {"labels": {**{key: [*values] for key, values in names.items()}, "ignore": 9}}
    manifest = json.loads((dataset / "dataset.json").read_text())
    (marked / "dataset.json").write_text(json.dumps(manifest | labels | order))
    tuning = workflow(bundle, "train", "train", dataset_dir=str(marked), output_dir=str(tmp_path / "t"), max_epochs=1)
    tuning.run()
    assert np.isfinite(tuning.trainer.state.output[0]["loss"])
    dice = _dice(load_package(tmp_path / "t"), labelled(str(marked), model)[-1])
    assert tuning.evaluator.state.metrics["val_mean_dice"] == pytest.approx(dice, abs=1e-4)
    assert all((item["label"] != plan.scheme.ignored).any() for item in tuning.trainer.state.output)


def _dice(model: Package, case: dict[str, Any]) -> float:
    """The mean Dice of a case by our own window and metric, on the prepared grid."""
    item, scheme = Prepare(model.plan)(case), model.plan.scheme
    logits = model.window().scores(model.network, item["image"].numpy(), device="cpu")
    scores = dice_per_class(scheme.decode(logits), item["label"][0].numpy(), scheme)
    return sum(each or 0 for each in scores) / len(scores)


@pytest.mark.long
def test_fine_tuned_it_is_a_package_that_the_bundle_takes(
    bundle: Path, dataset: Path, images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    output = tmp_path / "finetuned"
    tuning = workflow(
        bundle, "train", "train", dataset_dir=str(dataset), output_dir=str(output), max_epochs=2, learning_rate=0.05
    )
    before = {name: value.clone() for name, value in tuning.network_def.state_dict().items()}
    tuning.run()
    assert tuning.trainer.state.epoch == 2
    assert np.isfinite(tuning.trainer.state.output[0]["loss"])
    assert [item["image"].shape for item in tuning.trainer.state.output] == 2 * [(1, 8, 8, 8)]
    tuned = load_package(output)
    assert tuned.plan == load_package(bundle / MODEL_FOLDER).plan
    assert any(not torch.equal(value, before[name]) for name, value in tuned.network.state_dict().items())
    assert "Fine-tuned as a MONAI Bundle" in (output / "README.md").read_text()
    again = workflow(
        bundle, "inference", "infer", dataset_dir=str(images), model_dir=str(output), output_dir=str(tmp_path / "out")
    )
    again.run()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz", "b.nii.gz"]


def test_the_configurations_hold_nothing_but_json(bundle: Path) -> None:
    plan = load_package(bundle / MODEL_FOLDER).plan
    for name, config in (("inference", inference(plan)), ("train", training(plan))):
        assert json.loads((bundle / "configs" / f"{name}.json").read_text()) == config


def test_the_largest_components_alone_stay_as_in_prediction(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle / MODEL_FOLDER, tmp_path / "model")
    store_keep_largest(tmp_path / "model", ["organ"], "The largest alone.")
    model = load_package(tmp_path / "model")
    item = Prepare(model.plan)(labelled(str(dataset), model)[0])
    scores = torch.zeros(3, *item["image"].shape[1:])
    scores[0], scores[1, 1:4, 1:4, 1:4], scores[1, 8, 7, 8], scores[2, 6, 6, 6] = 0.5, 1, 1, 1
    pred = Restore(model.plan)(item | {"pred": scores})["pred"]
    assert sorted((pred == 2).nonzero()[:, 1:].amax(0).tolist()) == [3, 3, 3]
    assert (pred == 5).any()
    assert "Of organ keep the largest component alone" in " ".join(interpretation(model.plan))


def test_two_images_of_one_name_are_refused(bundle: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz", (11, 9, 10))
    write_image(tmp_path / "a.nii", (11, 9, 10))
    with pytest.raises(UserError, match="both case 'a'"):
        list_images(str(tmp_path), load_package(bundle / MODEL_FOLDER))
