"""Names of devices: known ones, what ``auto`` stands for on any machine, and GPUs that a machine lacks."""

import socket
from types import SimpleNamespace

import pytest
import torch

from c2fnas import devices as devices_module
from c2fnas.devices import find_device, find_devices, hardware_name, list_devices, processor_name
from c2fnas.errors import UserError
from c2fnas.execution.environment import visible_device


def show_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Have PyTorch, and its driver, show so many GPUs."""
    monkeypatch.setattr(devices_module, "DRIVERS", ("/",) if count else ())
    for name, answer in {"is_available": count > 0, "init": None, "device_count": count}.items():
        monkeypatch.setattr(torch.cuda, name, lambda answer=answer: answer)


@pytest.mark.parametrize("gpus", [0, 2])
def test_auto_is_every_gpu_or_the_cpu(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    show_gpus(monkeypatch, gpus)
    assert find_devices("auto") == (("cuda:0", "cuda:1") if gpus else ("cpu",))
    assert find_device("auto") == ("cuda:0" if gpus else "cpu")


def test_a_gpu_that_is_not_there_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    show_gpus(monkeypatch, 1)
    assert find_devices("cuda") == ("cuda:0",)
    with pytest.raises(UserError, match="named twice"):
        find_devices("cuda, cuda:0")
    for find in (find_device, find_devices):
        with pytest.raises(UserError, match="cuda:1: this machine shows 1 GPUs"):
            find("cuda:1")


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (["sm_70", "sm_86", "compute_86"], ("cuda:0", "cuda:1")),
        (["sm_80", "sm_90"], ("cuda:0",)),
        (["sm_90"], ("cpu",)),
        ([], ("cuda:0", "cuda:1", "cuda:2")),
    ],
)
def test_auto_leaves_out_gpus_that_pytorch_has_no_kernels_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, built: list[str], expected: tuple[str, ...]
) -> None:
    """A workstation has an old card for its screens beside the one that computes."""
    able = {"cuda:0": (8, 9), "cuda:1": (7, 5), "cuda:2": (3, 7)}
    show_gpus(monkeypatch, 3)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda gpu: SimpleNamespace(name=f"card {gpu}", major=able[gpu][0], minor=able[gpu][1]),
    )
    devices_module._warn.cache_clear()
    assert find_devices("auto") == expected
    assert find_device("auto") == expected[0]
    left_out = {*able} - {*expected}
    assert all(caplog.text.count(f"{gpu} (card {gpu}, compute capability") == (gpu in left_out) for gpu in able)


def test_every_slice_of_a_gpu_takes_a_worker_though_a_process_sees_one(monkeypatch: pytest.MonkeyPatch) -> None:
    show_gpus(monkeypatch, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1f, MIG-2e")
    assert find_devices("auto") == ("cuda:0", "cuda:1")
    assert find_devices("cuda:1") == ("cuda:1",)
    assert [visible_device(each, "MIG-1f, MIG-2e") for each in find_devices("auto")] == ["MIG-1f", "MIG-2e"]
    with pytest.raises(UserError, match="cuda:2: this machine shows 2 GPUs"):
        find_devices("cuda:2")
    assert find_device("auto") == "cuda:0"
    with pytest.raises(UserError, match="cuda:1: this machine shows 1 GPUs"):
        find_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device}")
    assert hardware_name("cuda:1") == "GPU cuda:0"
    show_gpus(monkeypatch, 0)
    assert find_devices("auto") == ("cpu",)


def _refuse() -> None:
    raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")


@pytest.mark.parametrize("changes", [{"is_available": lambda: False}, {"init": _refuse}])
def test_a_driver_that_is_too_old_for_pytorch_shows_no_gpu(monkeypatch: pytest.MonkeyPatch, changes: dict) -> None:
    """The driver itself tells their number, whatever PyTorch's CUDA can do with them."""
    show_gpus(monkeypatch, 1)
    for name, function in changes.items():
        monkeypatch.setattr(torch.cuda, name, function)
    assert find_devices("auto") == ("cpu",)
    assert find_device("auto") == "cpu"
    for find in (find_device, find_devices):
        with pytest.raises(UserError, match="cuda:0: this machine shows 0 GPUs"):
            find("cuda:0")


@pytest.mark.parametrize("devices", ["gpu", "cuda:", "cpu:x", "cpu,tpu", "cpu,auto"])
def test_names_of_no_device_are_refused(devices: str) -> None:
    with pytest.raises(UserError, match="unknown device"):
        list_devices(devices)


def test_a_list_is_read_without_its_spaces() -> None:
    assert list_devices("cpu:0, cpu:1,") == ("cpu:0", "cpu:1")
    assert (list_devices("auto"), list_devices("")) == ((), ())


def test_without_a_driver_a_gpu_is_refused_and_torch_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices_module, "DRIVERS", ())
    monkeypatch.setattr(devices_module.sys, "platform", "linux")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: pytest.fail("torch was asked"))
    assert find_devices("auto") == ("cpu",)
    with pytest.raises(UserError, match="cuda:1: this machine shows 0 GPUs"):
        list_devices("cpu,cuda:1")


def test_hardware_is_named_alike_in_every_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices_module, "DRIVERS", ())
    found = hardware_name("cpu")
    assert processor_name() in found
    monkeypatch.setattr(socket, "gethostname", lambda: "0123456789ab")
    assert hardware_name("cpu:1") == found
    assert hardware_name("cuda:0") == found, "a driver of a cluster without a GPU"
    monkeypatch.setattr(devices_module, "DRIVERS", ("/",))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device}")
    assert hardware_name("cuda:1") == "GPU cuda:1"
