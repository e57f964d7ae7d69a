"""A diagnosis for a bug report: it tells what is so, finds what is broken, and names nobody."""

import json
import os
import re
import resource
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

ROOM = SimpleNamespace(total=10**12, free=10**12)
SOUND = """
import shutil, socket, types
from c2fnas.api import machine
from c2fnas.cli import main
room = types.SimpleNamespace(total=10**12, free=10**12)
shutil.disk_usage, socket.gethostname = lambda _: room, lambda: "gudruns-pc"
machine.free_memory, machine.has_driver = lambda: 10**11, lambda: False
main()
"""
"""The program on a machine with room, of a name that nobody else has, and without a GPU."""
UNLIMITED = "import resource; resource.getrlimit = lambda _: (resource.RLIM_INFINITY,) * 2"


def ask(folder: Path, environment: dict[str, str], limit: str = "") -> subprocess.CompletedProcess[str]:
    script = SOUND if limit else UNLIMITED + SOUND
    call = ["bash", "-c", f'{limit}exec "$@"', "bash", sys.executable, "-c", script, "doctor", str(folder)]
    variables = os.environ | {"CUDA_VISIBLE_DEVICES": ""} | environment
    return subprocess.run(call, cwd=folder, env=variables, capture_output=True, text=True)


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room, limits and no GPU, whatever this machine has."""
    monkeypatch.setattr(machine, "free_memory", lambda: 10**11)
    monkeypatch.setattr(machine, "has_driver", lambda: False)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: ROOM)
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


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
    assert re.search(rf"c2fnas +{re.escape(c2fnas.__version__)}\n", done.stdout)
    assert done.stdout.count("can be written to") == 4
    assert "files can be locked" in done.stdout
    assert re.search(r"cpu +precision (bf16|fp32)\n", done.stdout)
    for secret in ("gudrun", "homes", str(home), sys.executable):
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


@pytest.mark.usefixtures("sound")
def test_the_diagnosis_is_json_and_its_values_are_those_of_the_text(tmp_path: Path) -> None:
    found = c2fnas.doctor(tmp_path)
    assert (found.status, found.warnings) == ("fine", ())
    back = json.loads(json.dumps(found.to_json()))
    assert back["limits"]["open files"] == "1,024"
    assert back["versions"]["torch"].startswith(torch.__version__)
    for values in back.values():
        assert all(value in found.text() for value in (values.values() if isinstance(values, dict) else values))


@pytest.mark.usefixtures("sound")
@pytest.mark.parametrize(("limit", "told"), [(255, True), (256, False), (resource.RLIM_INFINITY, False)])
def test_few_open_files_are_a_fault(limit: int, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _: (limit, limit))
    files, *_ = machine.limits()
    assert files.fault.startswith("fewer than 256 may be open at once") == told
    assert files.value == ("no limit" if limit == resource.RLIM_INFINITY else str(limit))


@pytest.mark.usefixtures("sound")
@pytest.mark.parametrize(("free", "told"), [(1.9e9, True), (2.1e9, False)])
def test_little_memory_is_a_fault(free: float, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "free_memory", lambda: free)
    *_, memory = machine.processor()
    assert memory.name == "memory"
    assert f"{free / 1e9:.1f} GB of it free" in memory.value
    fault = "little memory is free. Close other programs, or give the container more."
    assert memory.fault == (fault if told else "")


@pytest.mark.usefixtures("sound")
@pytest.mark.parametrize(("free", "told"), [(0.9e9, True), (1.1e9, False)])
def test_a_disk_that_is_almost_full_is_a_fault_of_each_folder_on_it(
    free: float, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    found = machine.folders(tmp_path)
    assert [fact.name for fact in found] == ["runs", "temporary files", "Matplotlib's cache", "PyTorch's cache"]
    assert all(fact.value.startswith(f"can be written to, {free / 1e9:.1f} GB free") for fact in found)
    remedies = ["Choose another folder for runs."]
    remedies += [f"Set {name} to a folder that you may write to." for name in ("TMPDIR", "MPLCONFIGDIR")]
    remedies.append("Set XDG_CACHE_HOME to a folder that you may write to.")
    assert [fact.fault for fact in found] == [f"hardly any room. {each}" if told else "" for each in remedies]


@pytest.mark.usefixtures("sound")
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
