"""A convolution of an up-sampled volume at half the resolution: the plain form's numbers, everywhere and backwards."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from c2fnas.networks import build_network
from c2fnas.networks import stem as stem_module
from c2fnas.networks import upsampled as upsampled_module
from c2fnas.networks.upsampled import convolve_upsampled
from c2fnas.space.architecture import Architecture

SIDES = st.tuples(*[st.integers(2, 7)] * 3)


def plain(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    fine = functional.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
    return functional.conv3d(fine, weight, bias, padding=1)


@settings(deadline=None, max_examples=30)
@given(
    sides=SIDES, filters=st.integers(1, 4), classes=st.integers(1, 4), batch=st.integers(1, 2), seed=st.integers(0, 99)
)
def test_it_is_the_plain_form_to_rounding_in_all_27_regions(sides, filters, classes, batch, seed) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    inputs = draw(batch, filters, *sides), draw(classes, filters, 3, 3, 3), draw(classes)
    ours, theirs = convolve_upsampled(*inputs), plain(*inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for values in (1, 300, 2**21):  # without gradients, in slabs of one plane and of more
        with pytest.MonkeyPatch.context() as patch, torch.no_grad():
            patch.setattr(upsampled_module, "SLAB_VALUES", values)
            torch.testing.assert_close(convolve_upsampled(*inputs), theirs, rtol=1e-12, atol=1e-12)
    weights = torch.randn(ours.shape, generator=generator, dtype=torch.float64)
    for a, b in zip(*(torch.autograd.grad((y * weights).sum(), inputs) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_a_network_gives_the_same_logits_either_way(monkeypatch) -> None:
    """Odd sizes take the plain form, even ones the composed one; both are the architecture's function."""
    architecture = Architecture.named("c2fnas-panc")
    torch.manual_seed(0)
    network = build_network(
        Architecture(architecture.topology, architecture.operations, 0.125), in_channels=1, classes=3
    )
    network = network.double().eval()
    for size in ((16, 24, 18), (17, 24, 16)):
        image = torch.randn(1, 1, *size, dtype=torch.float64)
        with torch.inference_mode():
            ours = network(image)
            with monkeypatch.context() as patch:
                patch.setattr(stem_module, "composed", lambda features, size: False)
                theirs = network(image)
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
        assert ours.shape == (1, 3, *size)


def test_a_network_trains_after_it_has_predicted() -> None:
    """Whatever is kept from a call in inference mode serves training, too."""
    x, weight = torch.randn(1, 2, 3, 2, 4), torch.randn(1, 2, 3, 3, 3, requires_grad=True)
    upsampled_module._matrix.cache_clear()
    with torch.inference_mode():
        convolve_upsampled(x, weight)
    convolve_upsampled(x, weight).sum().backward()
    assert weight.grad is not None
