"""Names of devices: known ones, what ``auto`` stands for on any machine, and GPUs that a machine lacks."""

import socket

import pytest
import torch

from c2fnas import devices as devices_module
from c2fnas.devices import find_device, find_devices, hardware_name, list_devices, processor_name
from c2fnas.errors import UserError


@pytest.mark.parametrize("gpus", [0, 2])
def test_auto_is_every_gpu_or_the_cpu(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setattr(devices_module, "DRIVERS", ("/",) if gpus else ())
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert find_devices("auto") == (("cuda:0", "cuda:1") if gpus else ("cpu",))
    assert find_device("auto") == ("cuda:0" if gpus else "cpu")


def test_a_gpu_that_is_not_there_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices_module, "DRIVERS", ("/",))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert find_devices("cuda") == ("cuda:0",)
    with pytest.raises(UserError, match="named twice"):
        find_devices("cuda, cuda:0")
    for find in (find_device, find_devices):
        with pytest.raises(UserError, match="cuda:1: this machine shows 1 GPUs"):
            find("cuda:1")


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
