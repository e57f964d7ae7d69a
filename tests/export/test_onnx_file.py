"""The ONNX file in ONNX Runtime, against PyTorch in double precision and against our own prediction."""

import builtins
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from small_models import PLAN, save_small_model, small_plan, write_image
from torch import Tensor, nn

from c2fnas.data.plan import ClassPlan
from c2fnas.data.preprocess import prepare_image
from c2fnas.errors import UserError
from c2fnas.export import onnx_file
from c2fnas.export.onnx_file import INPUT, OUTPUT, export_onnx, metadata
from c2fnas.inference.package import ModelPlan, Package, load_package, save_package
from c2fnas.networks.baselines import Baseline, build_baseline
from c2fnas.networks.designs import design_from_json
from c2fnas.space.architecture import Architecture


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A small model."""
    folder = tmp_path_factory.mktemp("onnx") / "model"
    save_small_model(folder)
    return load_package(folder)


class Runtime:
    """An ONNX file in ONNX Runtime, as a function of tensors."""

    def __init__(self, path: Path) -> None:
        runtime = pytest.importorskip("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run([OUTPUT], {INPUT: x.numpy()})[0])

    @property
    def properties(self) -> dict[str, str]:
        found: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
        return found


@pytest.fixture(scope="module")
def runtime(model: Package) -> Runtime:
    """The small model in ONNX Runtime."""
    path = model.folder.with_name("model.onnx")
    export_onnx(model, path)
    return Runtime(path)


@pytest.mark.long
def test_each_phase_is_told_of_before_it_begins(model: Package, tmp_path: Path) -> None:
    heard: list[tuple[str, bool]] = []
    path = tmp_path / "model.onnx"
    export_onnx(model, path, lambda phase: heard.append((phase, path.exists())))
    assert [phase.split()[0] for phase, _ in heard] == ["PyTorch", "comparing"]
    assert not any(written for _, written in heard)


@pytest.mark.long
def test_a_file_with_other_scores_is_not_written(
    model: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = onnx_file._graph

    def another(network: nn.Module, channels: int) -> Any:
        torch.manual_seed(1)
        other = deepcopy(network)
        for parameter in other.parameters():
            parameter.data += 0.01 * torch.randn_like(parameter)
        return graph(other, channels)

    monkeypatch.setattr(onnx_file, "_graph", another)
    with pytest.raises(UserError, match=r"gives other scores than PyTorch .* no file was written"):
        export_onnx(model, tmp_path / "model.onnx")
    assert [*tmp_path.iterdir()] == []


SIZES = [(1, 40, 56, 40), (1, 5, 8, 6), (2, 9, 20, 22), (3, 33, 17, 4), (1, 7, 7, 64)]
SMALL = [(1, 4, 4, 4), (2, 1, 1, 1), (1, 3, 4, 2), (1, 4, 5, 1)]
"""At or below the stride of the small model, on one axis above it."""


@pytest.mark.long
def test_it_is_as_exact_as_pytorch_for_any_batch_and_size(model: Package, runtime: Runtime) -> None:
    exact = deepcopy(model.network).double()
    generator = torch.Generator().manual_seed(0)
    ours, its, softmax, labels = [], [], [], []
    for batch, *size in SIZES + SMALL:
        x = torch.randn(batch, 1, *size, generator=generator)
        with torch.no_grad():
            truth, mine = exact(x.double()), model.network(x)
        found = runtime(x)
        assert found.shape == mine.shape
        ours.append((mine.double() - truth).abs().flatten())
        its.append((found.double() - truth).abs().flatten())
        softmax.append((found.softmax(1) - mine.softmax(1)).abs().flatten())
        labels.append((found.argmax(1) == mine.argmax(1)).flatten())
    assert torch.cat(its).max() <= 3 * torch.cat(ours).max()
    assert torch.cat(its).square().mean().sqrt() <= 3 * torch.cat(ours).square().mean().sqrt()
    assert torch.cat(softmax).max() <= 1e-3
    assert torch.cat(labels).double().mean() >= 0.999


@pytest.mark.long
def test_its_metadata_suffices_to_predict_a_volume(model: Package, runtime: Runtime, tmp_path: Path) -> None:
    plan = ModelPlan.model_validate_json(runtime.properties["c2fnas.plan"])
    assert plan == model.plan
    assert design_from_json(json.loads(runtime.properties["c2fnas.design"])) == model.design
    assert runtime.properties["c2fnas.model"] == model.checksum
    write_image(tmp_path / "a.nii.gz", (13, 9, 10))
    image, _ = prepare_image((tmp_path / "a.nii.gz",), plan)
    overlap = [max(0.0, 1 - (stride + 0.5) / side) for stride, side in zip(plan.stride, plan.patch_size, strict=True)]
    scores = sliding_window_inference(
        torch.from_numpy(image)[None], plan.patch_size, 4, runtime, overlap, plan.weighting
    )
    assert isinstance(scores, Tensor)
    ours = model.window().labels(model.network, image, device="cpu")
    assert len(np.unique(ours)) > 1
    assert (scores[0].argmax(0).numpy() == ours).mean() >= 0.999


FLAT = (((3, 3, 3), (1, 1, 1)), ((3, 3, 1), (2, 2, 1)), ((3, 3, 3), (2, 2, 2)))
"""Levels of a network for thick slices: its strides differ from axis to axis."""


@pytest.mark.long
@pytest.mark.parametrize("design", [Baseline("unet3d", 1 / 16), Baseline("dynunet", 1 / 8, FLAT)])
def test_other_networks_take_any_size_too(design: Baseline, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_baseline(design, in_channels=1, classes=3).eval()
    save_package(tmp_path / "model", network, design, PLAN, card="", weighting="gaussian")
    model = load_package(tmp_path / "model")
    export_onnx(model, tmp_path / "model.onnx")
    runtime = Runtime(tmp_path / "model.onnx")
    for size in ((16, 24, 32), (8, 8, 8), (3, 7, 5), (9, 16, 1), (8, 17, 8)):
        x = torch.randn(2, 1, *size)
        with torch.no_grad():
            expected = network(x)  # norms over a few voxels amplify rounding
            assert (runtime(x) - expected).abs().max() < 2e-3 * expected.abs().max()


@pytest.mark.long
def test_a_network_that_pytorch_cannot_trace_is_told_of(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    design = Baseline("dints", 1 / 8)
    network = build_baseline(design, in_channels=1, classes=3)
    save_package(tmp_path / "model", network, design, PLAN, card="", weighting="gaussian")
    with pytest.raises(UserError, match=r"cannot write dints @0.125 as ONNX"):
        export_onnx(load_package(tmp_path / "model"), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_what_is_there_is_not_replaced(model: Package, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("mine")
    with pytest.raises(UserError, match="something already"):
        export_onnx(model, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_text() == "mine"


def test_without_its_packages_it_says_what_to_install(
    model: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = builtins.__import__

    def without(name: str, *arguments: Any, **others: Any) -> Any:
        if name == "onnxscript":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return imported(name, *arguments, **others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"onnx.*c2fnas\[onnx\]"):
        export_onnx(model, tmp_path / "model.onnx")


def test_the_preparation_is_said_in_words(tmp_path: Path) -> None:
    channels = (
        {"name": "CT", "kind": "ct", "clip": (-96, 215), "mean": 77.5, "std": 75.4},
        {"name": "T2", "kind": "mr"},
    )
    plan = small_plan(channels=channels, axes=(0, 2, 1), crop_nonzero=True, nearest_beyond=3.0)
    save_small_model(tmp_path / "model", plan=plan, mirror=True)
    said = metadata(load_package(tmp_path / "model"))
    before, after = said["c2fnas.preprocessing"], said["c2fnas.postprocessing"]
    for words in (
        "CT (ct), T2 (mr)",
        "to the right, to the head, to the front",
        "box of voxels that are not zero",
        "clip to -96 ... 215, subtract 77.5, divide by 75.4",
        "spacing of 1 × 1 × 1 mm",
        "over 3 times coarser",
        "8 × 8 × 8 voxels, 4 × 4 × 4 apart",
    ):
        assert words in before
    for words in (
        "eight mirrorings",
        "equal weights",
        "linearly, but by nearest neighbour along an axis that was resampled so, to the image's own grid",
        "0 background (0), 1 organ (2), 2 lesion (5)",
        "Outside of the box that was cropped to, labels are 0.",
    ):
        assert words in after
    save_small_model(tmp_path / "plain")
    after = metadata(load_package(tmp_path / "plain"))["c2fnas.postprocessing"]
    assert "scores linearly to the image's own grid" in after
    assert "cropped" not in after
    assert said["c2fnas.size"] == "any"


def test_regions_are_said_in_words(tmp_path: Path) -> None:
    names = {"background": (0,), "whole": (1, 2), "core": (2,)}
    classes = tuple(ClassPlan(name=name, values=values) for name, values in names.items())
    plan = small_plan(classes=classes, regions_class_order=(1, 2), ignore=3)
    save_small_model(tmp_path / "model", plan=plan, classes=plan.outputs)
    said = metadata(load_package(tmp_path / "model"))
    for words in ("its score is above 0", "one over the other", "0 whole (1), 1 core (2)"):
        assert words in said["c2fnas.postprocessing"]
    assert ModelPlan.model_validate_json(said["c2fnas.plan"]).scheme == plan.scheme


def test_a_resize_is_said_in_words(tmp_path: Path) -> None:
    save_small_model(tmp_path / "model", plan=small_plan(spacing=None, resize=(96, 96, 96)))
    said = metadata(load_package(tmp_path / "model"))
    assert "Resample to 96 × 96 × 96 voxels" in said["c2fnas.preprocessing"]
    assert "mirror" not in said["c2fnas.postprocessing"]
    assert Architecture.from_json(json.loads(said["c2fnas.design"])).width == 0.0625
