"""Convolutions of a single sample against PyTorch's own, whole or in slabs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from c2fnas.inference import convolution
from c2fnas.inference.convolution import SingleSample

triples = st.tuples(*[st.integers(1, 3)] * 3)


@settings(deadline=None, max_examples=60)
@given(
    sides=st.tuples(*[st.integers(5, 12)] * 3),
    kernel=triples,
    options=st.tuples(triples, st.sampled_from([0, 1, (1, 0, 2)]), st.integers(1, 2), st.sampled_from([1, 2])),
    slab=st.sampled_from([1, 3000, 2**21]),
    last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_convolution_is_pytorchs(
    sides: tuple, kernel: tuple, options: tuple, slab: int, last: bool, seed: int
) -> None:
    """In float64 PyTorch's own kernel tells the truth; slabs have any number of planes, and borders are padded."""
    generator, groups = torch.Generator().manual_seed(seed), options[-1]
    x, weight = (torch.randn(shape, generator=generator) for shape in ((1, 4, *sides), (6, 4 // groups, *kernel)))
    bias = torch.randn(6, generator=generator) if seed % 2 else None
    exact = functional.conv3d(x.double(), weight.double(), None if bias is None else bias.double(), *options)
    if last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode(), SingleSample():
        patch.setattr(convolution, "SLAB_VALUES", slab)
        found = functional.conv3d(x, weight, bias, *options)
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-5)
    assert found.shape == exact.shape


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("padding", ["same", "valid", 1])
def test_only_single_samples_go_another_way(samples: int, padding: str | int) -> None:
    torch.manual_seed(0)
    layer, x = torch.nn.Conv3d(3, 5, 3, padding=padding), torch.randn(samples, 3, 6, 7, 8)  # type: ignore[arg-type]
    with torch.inference_mode():
        plain = layer(x)
        with SingleSample(), torch.profiler.profile() as watched:
            found = layer(x)
    torch.testing.assert_close(found, plain)
    assert any(event.key == "aten::conv3d" for event in watched.key_averages()) == (samples > 1 or padding != 1)


def test_slabs_take_little_more_memory_than_the_result() -> None:
    """The layer at the full resolution of a narrow network, whose filters oneDNN would fill up to sixteen."""
    from c2fnas.memory import measured

    torch.manual_seed(0)
    layer, x = torch.nn.Conv3d(1, 2, 3, padding=1, bias=False), torch.randn(1, 1, 96, 96, 96)
    with torch.inference_mode(), SingleSample():
        layer(x[:, :, :8])  # libraries and kernels are loaded by now
        found, grown = measured(lambda: layer(x))
    assert grown < 4 * found.nbytes
