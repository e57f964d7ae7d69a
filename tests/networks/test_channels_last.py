"""Convolution, normalisation and ReLU channels last on a CPU: PyTorch's own numbers to rounding, and backwards."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from c2fnas.networks import build_network
from c2fnas.networks import channels_last as module
from c2fnas.networks.channels_last import CHANNELS_LAST, Convolution, NormReLU
from c2fnas.space.architecture import Architecture

KERNELS = [(1, 1, 1), (1, 1, 3), (3, 3, 1), (3, 3, 3), (1, 3, 3)]
SIDES = st.tuples(*[st.integers(1, 6)] * 3)


def gradients(y: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    weights = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view(y.shape)
    return [y, *torch.autograd.grad((y * weights).sum(), inputs)]


def image(batch: int, filters: int, sides: tuple[int, ...], *, last: bool) -> Tensor:
    layout = CHANNELS_LAST if last else torch.contiguous_format
    x = torch.randn(batch, filters, *sides, dtype=torch.float64)
    return x.contiguous(memory_format=layout).requires_grad_()


@settings(deadline=None, max_examples=60)
@given(
    kernel=st.sampled_from(KERNELS),
    stride=st.sampled_from([1, 2]),
    filters=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    sides=SIDES,
    batch=st.integers(1, 3),
    bias=st.booleans(),
    last=st.booleans(),
)
def test_a_convolution_is_pytorchs(kernel, stride, filters, sides, batch, bias, last) -> None:
    padding = tuple(side // 2 for side in kernel)
    ours = Convolution(*filters, kernel, stride=stride, padding=padding, bias=bias).double()
    x = image(batch, filters[0], sides, last=last)
    expected = functional.conv3d(x, ours.weight, ours.bias, stride, padding)
    inputs = [x, *ours.parameters()]
    for a, b in zip(gradients(ours(x), inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@settings(deadline=None, max_examples=40)
@given(filters=st.integers(1, 5), sides=SIDES.filter(lambda sides: max(sides) > 1), batch=st.integers(1, 3))
def test_normalisation_and_relu_are_pytorchs(filters, sides, batch) -> None:
    ours = NormReLU(filters).double()
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    for last in (False, True):
        x = image(batch, filters, sides, last=last)
        inputs = [x, *ours.parameters()]
        expected = functional.instance_norm(x, weight=ours.weight, bias=ours.bias, eps=ours.eps).relu()
        y = ours(x)
        assert y.is_contiguous(memory_format=CHANNELS_LAST)
        for a, b in zip(gradients(y, inputs), gradients(expected, inputs), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_a_gradient_that_others_share_is_left_as_it_is() -> None:
    norm, x, gradient = NormReLU(2), torch.randn(2, 2, 3, 3, 3, requires_grad=True), torch.ones(2, 2, 3, 3, 3)
    norm(x).backward(gradient)
    assert (gradient == 1).all()


def test_a_whole_network_is_the_same_as_by_pytorchs_modules(monkeypatch) -> None:
    network = build_network(Architecture.from_text("0:3D 1:P3D 0:2D @0.25"), in_channels=2, classes=3).double()
    x = image(2, 2, (12, 9, 16), last=False)
    inputs = [x, *network.parameters()]
    ours = gradients(network(x), inputs)
    monkeypatch.setattr(module, "eager_on_cpu", lambda x: False)
    for a, b in zip(ours, gradients(network(x), inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("kernel", KERNELS)
def test_bf16_is_as_near_to_float32_as_pytorchs(kernel, monkeypatch) -> None:
    torch.manual_seed(0)
    block = nn.Sequential(Convolution(8, 8, kernel, padding=[side // 2 for side in kernel], bias=False), NormReLU(8))
    x = torch.randn(2, 8, 6, 6, 6, requires_grad=True)

    def off() -> list[float]:
        """How far result and gradients are from float32's."""
        exact = gradients(block(x), [x, *block.parameters()])
        with torch.autocast("cpu", torch.bfloat16):
            y = block(x)
        assert y.dtype == torch.bfloat16
        found = gradients(y, [x, *block.parameters()])
        return [((a.float() - b).norm() / b.norm()).item() for a, b in zip(found, exact, strict=True)]

    ours = off()
    monkeypatch.setattr(module, "eager_on_cpu", lambda x: False)
    assert ours == pytest.approx(off(), rel=0.5, abs=0.005)


def test_a_single_voxel_can_t_be_normalised() -> None:
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        NormReLU(2)(torch.zeros(1, 2, 1, 1, 1))
