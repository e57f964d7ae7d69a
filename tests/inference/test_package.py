"""Model packages: round trip, damage, and what a failed write leaves."""

import shutil
from pathlib import Path

import pytest
import torch
from small_models import ARCHITECTURE, PLAN, save_small_model
from torch import Tensor

from c2fnas import build_network
from c2fnas.errors import UserError
from c2fnas.inference.package import CARD, SUMS, WEIGHTS, load_package, save_package
from c2fnas.inference.package import PLAN as PLAN_FILE
from c2fnas.inference.sliding_window import SlidingWindow


def test_a_package_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    network = save_small_model(tmp_path / "model", mirror=True)
    model = load_package(tmp_path / "model")
    assert model.design == ARCHITECTURE
    assert {name: getattr(model.plan, name) for name in type(PLAN).model_fields} == dict(PLAN)
    assert model.plan.mirror
    assert model.window() == SlidingWindow(PLAN.patch_size, PLAN.stride, "constant")
    x = torch.randn(1, 1, 16, 16, 16)
    assert isinstance(network(x), Tensor)
    assert torch.equal(model.network(x), network.eval()(x))
    assert not model.network.training


def test_the_sums_are_those_of_sha256sum(tmp_path: Path) -> None:
    import subprocess

    save_small_model(tmp_path / "model")
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path / "model", check=True, capture_output=True)


def test_loading_leaves_the_random_numbers_alone(tmp_path: Path) -> None:
    save_small_model(tmp_path / "model")
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_package(tmp_path / "model")
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("name", ["architecture.json", PLAN_FILE, WEIGHTS])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    save_small_model(tmp_path / "model")
    path = tmp_path / "model" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=name):
        load_package(tmp_path / "model")


@pytest.mark.parametrize("name", ["architecture.json", PLAN_FILE, WEIGHTS, SUMS])
def test_a_missing_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    save_small_model(tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(UserError, match=name):
        load_package(tmp_path / "model")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_small_model(tmp_path / "model", classes=4)
    with pytest.raises(UserError, match="weights"):
        load_package(tmp_path / "model")


def test_the_card_may_be_edited(tmp_path: Path) -> None:
    save_small_model(tmp_path / "model")
    (tmp_path / "model" / CARD).write_text("Mine.")
    load_package(tmp_path / "model")


def test_a_folder_that_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a model package"):
        load_package(tmp_path)


def test_a_package_can_be_moved_and_replaced(tmp_path: Path) -> None:
    first = save_small_model(tmp_path / "model")
    checksum = load_package(tmp_path / "model").checksum
    shutil.copytree(tmp_path / "model", tmp_path / "elsewhere")
    assert load_package(tmp_path / "elsewhere").checksum == checksum
    with torch.no_grad():
        next(iter(first.parameters())).add_(1)
    save_package(tmp_path / "model", first, ARCHITECTURE, PLAN, card="", weighting="constant")
    assert load_package(tmp_path / "model").checksum != checksum
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "model"]


def test_a_failed_write_leaves_the_old_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_small_model(tmp_path / "model")
    checksum = load_package(tmp_path / "model").checksum

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left"):
        save_small_model(tmp_path / "model", seed=1)
    assert load_package(tmp_path / "model").checksum == checksum
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_other_designs_are_refused(tmp_path: Path) -> None:
    network = build_network(ARCHITECTURE, in_channels=1, classes=3)
    with pytest.raises(TypeError, match="no design"):
        save_package(tmp_path / "model", network, PLAN, PLAN, card="", weighting="gaussian")  # type: ignore[arg-type]
