"""Gradients in bf16 on a CPU, where inputs are smaller than kernels, against float32."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toy import recipe

from c2fnas.inference.forward import computing
from c2fnas.networks import build_network
from c2fnas.space.architecture import Architecture
from c2fnas.training.device import make_fabric
from c2fnas.training.precision import SmallConvolutions, common_precision, resolve_precision
from c2fnas.training.step import Stepper

SIDES = st.integers(1, 5)


def gradients(conv, x, upstream, low):
    with torch.autocast("cpu", torch.bfloat16, enabled=low), SmallConvolutions():
        y = conv(x)
    return torch.autograd.grad((y.float() * upstream).sum(), (conv.weight, x))


def soil_memory():
    """Leave not-a-number in memory that will be handed out again."""
    for size in (2**10, 2**14, 2**18):
        torch.full((size,), float("nan"))


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(SIDES, SIDES, SIDES),
    kernel=st.sampled_from([(3, 3, 3), (3, 3, 1), (1, 1, 3), (1, 1, 1)]),
    stride=st.sampled_from([1, 2]),
    channels=st.sampled_from([3, 16]),
)
def test_gradients_are_those_of_float32_within_its_rounding(size, kernel, stride, channels):
    torch.manual_seed(0)
    conv = nn.Conv3d(channels, channels, kernel, stride=stride, padding=tuple(side // 2 for side in kernel))
    x = torch.randn(2, channels, *size, requires_grad=True)
    upstream = torch.randn_like(conv(x))
    soil_memory()
    for low, exact in zip(gradients(conv, x, upstream, True), gradients(conv, x, upstream, False), strict=True):
        assert (low - exact).norm() <= 0.03 * exact.norm()


def test_large_ones_stay_in_bf16():
    conv = nn.Conv3d(2, 2, 3, padding=1)
    with torch.autocast("cpu", torch.bfloat16), SmallConvolutions():
        assert conv(torch.zeros(1, 2, 3, 3, 3)).dtype == torch.bfloat16
        assert conv(torch.zeros(1, 2, 2, 3, 3)).dtype == torch.float32


@pytest.mark.parametrize("size", [(32, 32, 32), (32, 20, 16)])
def test_a_network_whose_lowest_level_is_two_voxels_deep(size):
    """A step in bf16 is about as long as one in float32; unmended, it is not a number, or 10¹⁰ times as long.

    Norms over a few voxels amplify rounding, so there is no telling the direction.
    """
    architecture = Architecture.from_text("1:3D 2:2D 3:3D 3:2D 2:P3D 1:3D 0:3D @0.0625")
    torch.manual_seed(0)
    batch = SimpleNamespace(image=torch.randn(2, 1, *size), label=torch.randint(2, (2, *size)))
    moved = {}
    for precision in ("fp32", "bf16"):
        torch.manual_seed(1)
        network = build_network(architecture, in_channels=1, classes=2)
        before = torch.cat([p.detach().flatten() for p in network.parameters()])
        soil_memory()
        Stepper(network, recipe(precision=precision, nesterov=False, weight_decay=0.0), "cpu").step(batch, 5)
        moved[precision] = torch.cat([p.detach().flatten() for p in network.parameters()]) - before
    assert 0.05 < moved["bf16"].norm() / moved["fp32"].norm() < 20


@pytest.mark.parametrize(
    "begin", [lambda: make_fabric("cpu", "fp32"), lambda: computing(torch.device("cpu"), "fp32").__enter__()]
)
def test_float32_is_not_rounded_to_tf32_on_a_gpu(begin):
    backends = torch.backends.cudnn, torch.backends.cuda.matmul
    for backend in backends:
        backend.allow_tf32 = True
    begin()
    assert not any(backend.allow_tf32 for backend in backends)


def test_a_processor_that_is_made_a_lesser_one_computes_in_fp32():
    """``ATEN_CPU_CAPABILITY`` makes PyTorch do without AVX-512, though the processor has it: bf16 would be emulated."""
    code = "from c2fnas.training.precision import resolve_precision; print(resolve_precision('auto', 'cpu'))"
    for capability in ("avx2", "default"):
        environment = os.environ | {"ATEN_CPU_CAPABILITY": capability}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "fp32" or platform.machine() not in ("x86_64", "AMD64")


def test_a_gpu_is_asked_for_its_own_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the first one for all: an A100 beside a T4."""
    monkeypatch.setattr(torch.version, "hip", None)
    majors = {"cuda:0": 8, "cuda:1": 7}
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=majors[device]))
    assert [resolve_precision("auto", device) for device in majors] == ["bf16", "fp16"]


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (("cuda:0",), "bf16"),
        (("cuda:0", "cuda:1"), "fp16"),
        (("cuda:1", "cuda:0"), "fp16"),
        (("cpu", "cuda:1"), "fp32"),
        (("cpu:0", "cpu:1"), "fp32"),
    ],
)
def test_a_run_computes_in_what_all_of_its_devices_can(
    monkeypatch: pytest.MonkeyPatch, devices: tuple[str, ...], expected: str
) -> None:
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr("c2fnas.training.precision._cpu_multiplies_bf16", lambda: False)
    majors = {"cuda:0": 8, "cuda:1": 7}
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=majors[device]))
    assert common_precision(devices) == expected


def test_a_processor_computes_in_fp32_where_pytorch_is_built_without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for macOS: an M2 says that it multiplies bf16, and PyTorch does so several times slower than fp32 there."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"bf16": True}, raising=False)
    found = []
    for built in (True, False):
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda built=built: built)
        found.append(resolve_precision("auto", "cpu"))
    assert found == ["bf16", "fp32"]
