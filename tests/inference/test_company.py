"""What a window's logits depend on: not on the windows that come with it, and by rounding alone on how many do."""

import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest
import torch
from ranked_cases import PATCH
from torch import Tensor, nn

from c2fnas.inference.convolution import SingleSample
from c2fnas.inference.sinks import ScoreSink
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.networks import SegmentationNetwork, SuperNetwork
from c2fnas.search.paths import random_paths
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

pytestmark = pytest.mark.exact

DEEP = Topology((0, 1, 1, 2, 2, 3, 3, 2, 1, 0, 0, 0))
SHAPES = [(12, 10, 8), (14, 10, 7), (9, 11, 6), (6, 7, 5), (20, 13, 9)]
ROUNDING = 2.0**-24
"""Half of float32's last bit, relative to a number."""


def network(seed: int, width: float = 1 / 16) -> SegmentationNetwork:
    """The network of a path at random, on all four levels."""
    torch.manual_seed(seed)
    (path,) = random_paths(SearchSpace(), 1, seed=seed)
    return SuperNetwork(DEEP, in_channels=1, classes=3, width=width).eval().extract(path)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_volume_has_the_same_scores_in_any_company(batch: int, precision: str) -> None:
    """Alone, and with others before and behind it; some batches hold windows of three volumes."""
    one, window = network(0), SlidingWindow(PATCH, PATCH, batch=batch, precision=precision)  # type: ignore[arg-type]
    random = np.random.default_rng(0)
    images = [random.standard_normal((1, *shape)).astype(np.float32) for shape in SHAPES]
    for order in (images, images[::-1], images[1:]):
        volumes = ((image, ScoreSink(image.shape[1:])) for image in order)  # type: ignore[arg-type]
        for image, sink in zip(order, window.stream(one, volumes, device="cpu"), strict=True):
            assert torch.equal(sink.scores, window.scores(one, image, device="cpu"))


@pytest.mark.parametrize("context", [nullcontext, SingleSample])
@pytest.mark.parametrize("seed", range(4))
@torch.no_grad()
def test_another_number_of_windows_rounds_otherwise_and_no_more(
    seed: int, context: Callable[[], AbstractContextManager[object]]
) -> None:
    """In fp32 one window takes other kernels than several: the same sums in another order.

    A sum of n products is rounded n times, which adds up like a random walk: to about √n roundings of its result. What
    one rounding of every layer's result does to the logits is measured, in float64. A voxel may change its class where
    the two best logits are no further apart than both can have moved.
    """
    one, x = network(seed), torch.randn(2, 1, 24, 24, 24)
    with context():
        together, alone = one(x), torch.cat([one(x[:1]), one(x[1:])])
    moved = (together - alone).abs().max().item()
    terms = max(part.weight[0].numel() for part in one.modules() if isinstance(part, nn.Conv3d))
    assert moved <= math.sqrt(terms) * sensitivity(one, x)
    best, second = together.topk(2, dim=1).values.unbind(1)
    changed = together.argmax(1) != alone.argmax(1)
    assert ((best - second)[changed] <= 2 * moved).all()


def sensitivity(one: nn.Module, x: Tensor) -> float:
    """How far the logits move, in float64, where every layer's result is off by up to one rounding of float32."""
    exact = copy.deepcopy(one).double()
    logits = exact(x.double())

    def off(_: nn.Module, inputs: object, output: Tensor) -> Tensor:
        return output * (1 + ROUNDING * (2 * torch.rand_like(output) - 1))

    for part in exact.modules():
        if not [*part.children()]:
            part.register_forward_hook(off)
    return (exact(x.double()) - logits).abs().max().item()
