"""What a worker process sees of the machine."""

import pytest

from c2fnas.errors import UserError
from c2fnas.execution import environment


@pytest.mark.parametrize(
    ("cores", "devices", "limit", "threads"),
    [
        (16, ["cuda:0"], None, "16"),
        (16, ["cuda:0", "cuda:1"], None, "8"),
        (2, ["cpu:0", "cpu:1", "cpu:2"], None, "1"),
        (16, ["cpu"], "4", "4"),
        (4, ["cpu"], "64", "4"),
        (4, ["cpu"], "many", "4"),
    ],
)
def test_threads(
    monkeypatch: pytest.MonkeyPatch, cores: int, devices: list[str], limit: str | None, threads: str
) -> None:
    monkeypatch.setattr(environment, "usable_cores", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert environment.worker_environment(devices[0], len(devices))["OMP_NUM_THREADS"] == threads


@pytest.mark.parametrize(
    ("asked", "spins"), [({}, "1000"), ({"OMP_WAIT_POLICY": "PASSIVE"}, None), ({"GOMP_SPINCOUNT": "7"}, "7")]
)
def test_threads_wait_awake_for_microseconds_unless_asked_otherwise(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], spins: str | None
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    made = environment.worker_environment("cpu", 1)
    assert (made.get("OMP_WAIT_POLICY"), made.get("GOMP_SPINCOUNT")) == (asked.get("OMP_WAIT_POLICY"), spins)


@pytest.mark.parametrize(
    ("device", "visible", "expected", "inner"),
    [
        ("cuda:0", None, "0", "cuda:0"),
        ("cuda:3", None, "3", "cuda:0"),
        ("cuda", None, "0", "cuda:0"),
        ("cuda:1", "5,7", "7", "cuda:0"),
    ],
)
def test_a_worker_sees_its_own_gpu_alone(
    monkeypatch: pytest.MonkeyPatch, device: str, visible: str | None, expected: str, inner: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert environment.worker_environment(device, 1)["CUDA_VISIBLE_DEVICES"] == expected
    assert environment.inner_device(device) == inner


def test_a_worker_sees_its_own_gpu_of_amd_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """ROCm reads ``HIP_VISIBLE_DEVICES`` before the other one."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "2,3")
    monkeypatch.setattr(environment, "is_amd", lambda: True)
    made = environment.worker_environment("cuda:1", 2)
    assert (made["HIP_VISIBLE_DEVICES"], made["CUDA_VISIBLE_DEVICES"]) == ("3", "3")
    with pytest.raises(UserError, match="HIP_VISIBLE_DEVICES=2,3 shows 2 GPUs"):
        environment.worker_environment("cuda:2", 2)
    monkeypatch.setattr(environment, "is_amd", lambda: False)  # a site may set it on every machine
    assert environment.worker_environment("cuda:1", 2)["CUDA_VISIBLE_DEVICES"] == "1"
    monkeypatch.setattr(environment, "is_amd", lambda: True)
    monkeypatch.delenv("HIP_VISIBLE_DEVICES")
    assert "HIP_VISIBLE_DEVICES" not in environment.worker_environment("cuda:1", 2)


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES=5,7 shows 2 GPUs"):
        environment.visible_device("cuda:2", "5,7")


def test_a_worker_is_none_of_the_processes_that_torchrun_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for the others for ever."""
    of_torchrun = {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
        "MASTER_PORT": "29500",
        "TORCHELASTIC_RUN_ID": "x",
    }
    for name, value in (of_torchrun | {"ROLE_NAME": "default", "RANKING": "kept"}).items():
        monkeypatch.setenv(name, value)
    made = environment.worker_environment("cpu", 1)
    assert not {*of_torchrun, "ROLE_NAME"} & {*made}
    assert made["RANKING"] == "kept"
