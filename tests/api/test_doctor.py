"""A diagnosis for a bug report: it tells what is so, finds what is broken, and names nobody."""

import json
import os
import re
import resource
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import c2fnas
from c2fnas.api import machine
from c2fnas.api.doctor import Fact, impersonal
from c2fnas.errors import UserError


def ask(folder: Path, environment: dict[str, str], limit: str = "") -> subprocess.CompletedProcess[str]:
    command = f"{limit}exec {sys.executable} -m c2fnas doctor {folder}"
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=os.environ | environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of somebody, who keeps everything below it."""
    folder = tmp_path_factory.mktemp("homes") / "gudrun-enslin"
    (folder / "runs").mkdir(parents=True)
    return folder


def test_a_sound_machine_is_described_without_anybodys_names(home: Path) -> None:
    cache = {"MPLCONFIGDIR": f"{home}/mpl", "XDG_CACHE_HOME": f"{home}/cache", "TMPDIR": str(home)}
    done = ask(
        home / "runs", {"HOME": str(home), "USER": "gudrun-enslin", "PYTHONPATH": os.pathsep.join(sys.path)} | cache
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for package in ("torch", "monai", "numpy", "onnx"):
        assert re.search(rf"{package} +{re.escape(metadata.version(package))}", done.stdout)
    assert f"c2fnas              {c2fnas.__version__}" in done.stdout
    assert done.stdout.count("can be written to") == 4
    assert "files can be locked" in done.stdout
    assert re.search(r"cpu +precision (bf16|fp32)\n", done.stdout)
    for secret in ("gudrun", "homes", socket.gethostname(), str(home), sys.executable):
        assert secret not in done.stdout + done.stderr
    assert not re.search(r"(^|\s)/\w", done.stdout)


def test_each_fault_comes_with_its_remedy_and_with_exit_code_1(home: Path) -> None:
    done = ask(home, {"TMPDIR": str(home), "MPLCONFIGDIR": "/proc/matplotlib"}, limit="ulimit -n 200; ")
    assert done.returncode == 1
    told = done.stderr.splitlines()
    assert len(told) == 2
    assert re.fullmatch(r"open files: fewer than 256 may be open at once\. `ulimit -n 1024` allows more\.", told[0])
    assert re.fullmatch(r"Matplotlib's cache: cannot be written to \(.*\)\. Set MPLCONFIGDIR to a folder .*", told[1])


def test_a_folder_for_runs_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no folder"):
        c2fnas.doctor(tmp_path / "nowhere")


def test_the_diagnosis_is_json_and_its_values_are_those_of_the_text(tmp_path: Path) -> None:
    found = c2fnas.doctor(tmp_path)
    back = json.loads(json.dumps(found.to_json()))
    assert back["limits"]["open files"] == f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]:,}"
    assert back["versions"]["torch"].startswith(torch.__version__)
    for values in back.values():
        assert all(value in found.text() for value in (values.values() if isinstance(values, dict) else values))


def test_a_device_that_computes_nothing_and_a_driver_without_a_gpu_are_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [fact.fault for fact in machine.devices()] == [""]
    monkeypatch.setattr(machine, "has_driver", lambda: True)
    monkeypatch.setattr("c2fnas.devices.DRIVERS", ("/",))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # of the driver, which may be older than PyTorch's CUDA
    *_, gpu = machine.devices()
    assert "a driver runs here, but PyTorch sees no GPU" in gpu.fault
    about = SimpleNamespace(name="Some GPU", major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: about)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10**9, 2 * 10**9))
    cpu, gpu = machine.devices()
    assert cpu.fault == ""
    assert gpu.value == "Some GPU, compute capability 9.0, 2.0 GB, 1.0 GB of it free, precision bf16"
    if not torch.backends.cuda.is_built():
        assert gpu.fault.startswith("a small network cannot be trained on it (")
        assert len(gpu.fault) < 250  # its first sentence; which error it is depends on what PyTorch has begun


def test_paths_and_names_in_messages_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/data/people/gudrun")
    monkeypatch.setenv("USER", "gudrun")
    fact = impersonal(Fact("x", "no /data/people/gudrun/a, see gudrun", "at /opt/own/lib.so (and 1/2)"))
    assert fact == Fact("x", "no ~/a, see ~", "at (a path) (and 1/2)")


def test_a_user_without_a_home_is_told_of_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that is run as a number that no user has."""
    for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 5)
    assert machine._matplotlib_cache().name == "matplotlib"
