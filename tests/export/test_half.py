"""Models in half precision: the nearest weights there are, nearly the same labels, half the size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import ARCHITECTURE, PLAN, save_small_model

from c2fnas import build_network
from c2fnas.data.phantoms import make_phantom
from c2fnas.errors import UserError
from c2fnas.export.archive import pack
from c2fnas.export.model_folder import NOTE, save_half
from c2fnas.inference.package import CARD, WEIGHTS, load_package, save_package
from c2fnas.inference.unpacking import unpack
from c2fnas.training.weights import read_tensors


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model package in single precision."""
    folder = tmp_path_factory.mktemp("half") / "whole"
    save_small_model(folder, mirror=True)
    return folder


@pytest.fixture(scope="module")
def half(whole: Path) -> Path:
    """The same in half precision."""
    save_half(whole, whole.with_name("half"))
    return whole.with_name("half")


def test_every_weight_is_the_nearest_there_is(whole: Path, half: Path) -> None:
    before, stored = (read_tensors(folder / WEIGHTS, None) for folder in (whole, half))
    assert before.keys() == stored.keys()
    for name, tensor in before.items():
        assert stored[name].dtype == torch.float16
        error = (stored[name].double() - tensor.double()).abs()
        assert (error <= tensor.double().abs().clamp(min=2.0**-14) * 2.0**-11).all()  # half a unit in the last place


def test_all_but_the_weights_is_as_it_was(whole: Path, half: Path) -> None:
    one, other = load_package(whole), load_package(half)
    assert (other.design, other.plan) == (one.design, one.plan)
    assert {tensor.dtype for tensor in other.network.state_dict().values()} == {torch.float32}
    assert (half / CARD).read_text().startswith((whole / CARD).read_text().rstrip())


def test_labels_of_a_phantom_are_nearly_all_the_same(whole: Path, half: Path) -> None:
    image = make_phantom(np.random.default_rng(0)).image
    x = torch.from_numpy((image - image.mean()) / image.std())[None, None]
    with torch.no_grad():
        one, other = (load_package(folder).network(x).argmax(1) for folder in (whole, half))
    assert len(one.unique()) > 1
    assert (one == other).double().mean() > 0.99


def test_again_in_half_it_stays_the_same(half: Path, tmp_path: Path) -> None:
    save_half(half, tmp_path / "again")
    assert load_package(tmp_path / "again").checksum == load_package(half).checksum
    assert (tmp_path / "again" / CARD).read_text().count(NOTE) == 1


def test_a_zip_file_brings_it_there_and_back(whole: Path, half: Path, tmp_path: Path) -> None:
    pack(whole, tmp_path / "whole.zip")
    pack(whole, tmp_path / "half.zip", half=True)
    unpack(tmp_path / "half.zip", tmp_path / "back")
    assert load_package(tmp_path / "back").checksum == load_package(half).checksum
    tensors = [tensor.numel() for tensor in read_tensors(whole / WEIGHTS, None).values()]
    saved = (tmp_path / "whole.zip").stat().st_size - (tmp_path / "half.zip").stat().st_size
    assert saved == pytest.approx(2 * sum(tensors), rel=0.05)  # two bytes a weight; names and cards stay


@pytest.mark.parametrize("value", [65520.0, -1e30, float("inf"), float("nan")])
def test_a_weight_beyond_half_precision_is_refused(tmp_path: Path, value: float) -> None:
    network = build_network(ARCHITECTURE, in_channels=1, classes=3)
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = value
    save_package(tmp_path / "model", network, ARCHITECTURE, PLAN, card="", weighting="constant")
    with pytest.raises(UserError, match=r"weights\.safetensors: `stem_in.*without --half"):
        save_half(tmp_path / "model", tmp_path / "half")
    with pytest.raises(UserError, match="half precision ends at 65504"):
        pack(tmp_path / "model", tmp_path / "half.zip", half=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
