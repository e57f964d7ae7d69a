"""The tree against every path on its own: the same bits, and exactly the multiply-accumulates of the closed form."""

from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from c2fnas.networks import SuperNetwork
from c2fnas.networks.prefix_tree import evaluate_paths
from c2fnas.search.paths import random_paths
from c2fnas.search.prefix_saving import RankingMacs
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

SPACE = SearchSpace()
PANC = Architecture.named("c2fnas-panc").topology
SIZE = (18, 17, 20)


def supernet(topology: Topology, width: float = 1 / 32) -> SuperNetwork:
    torch.manual_seed(0)
    return SuperNetwork(topology, in_channels=1, classes=3, width=width).eval()


@pytest.mark.exact
@settings(deadline=None, max_examples=10)
@given(st.integers(0, 923), st.integers(1, 40), st.integers(0, 999), st.tuples(*[st.integers(1, 20)] * 3))
def test_equals_each_path_alone(topology: int, count: int, seed: int, size: tuple[int, int, int]) -> None:
    network, paths = supernet(SPACE.topologies()[topology]), random_paths(SPACE, count, seed=seed)
    x = torch.randn(2, 1, *size)
    seen = dict(evaluate_paths(network, x, paths))
    assert sorted(seen) == list(range(count))
    with torch.no_grad():
        for index, logits in seen.items():
            assert torch.equal(logits, network(x, paths[index]))


@pytest.mark.exact
def test_equals_each_path_alone_under_autocast() -> None:
    network, paths, x = supernet(PANC), random_paths(SPACE, 12, seed=0), torch.randn(2, 1, *SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        for index, logits in evaluate_paths(network, x, paths):
            with torch.no_grad():
                assert torch.equal(logits, network(x, paths[index]))


@pytest.mark.exact
def test_all_paths_of_a_small_space() -> None:
    space = SearchSpace(cells=4, downsamplings=1)
    paths, x = list(space.operation_configurations()), torch.randn(1, 1, 7, 8, 9)
    for topology in space.topologies():
        network = supernet(topology)
        for index, logits in evaluate_paths(network, x, paths):
            with torch.no_grad():
                assert torch.equal(logits, network(x, paths[index]))


def test_repeated_paths_are_computed_once_and_given_each() -> None:
    network, path, runs = supernet(PANC), random_paths(SPACE, 1, seed=0)[0], []
    network.stem_out.register_forward_hook(lambda *_: runs.append(1))
    assert sorted(index for index, _ in evaluate_paths(network, torch.randn(1, 1, *SIZE), [path] * 3)) == [0, 1, 2]
    assert len(runs) == 1


def executed_macs(network: SuperNetwork, paths: list[tuple[Operation, ...]], size: tuple[int, int, int]) -> int:
    """The multiply-accumulates of all convolutions that the tree really runs, on the meta device."""
    total = 0

    def add(convolution: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(convolution, torch.nn.Conv3d)
        total += prod(convolution.weight.shape) * prod(output.shape[2:])

    for part in network.modules():
        if isinstance(part, torch.nn.Conv3d):
            part.register_forward_hook(add)
    for _ in evaluate_paths(network, torch.empty(1, 1, *size, device="meta"), paths):
        pass
    return total


@pytest.mark.parametrize("index", [None, 100, 923])
@pytest.mark.parametrize("count", [1, 15])
def test_runs_what_the_closed_form_says(index: int | None, count: int) -> None:
    topology = PANC if index is None else SPACE.topologies()[index]
    paths = random_paths(SPACE, count, seed=count)
    with torch.device("meta"):
        network = SuperNetwork(topology, in_channels=1, classes=3, width=0.25)
    macs = RankingMacs(topology, tuple(paths), 1, 3, SIZE, width=0.25)
    assert executed_macs(network, paths, SIZE) == macs.tree <= macs.prefixes <= macs.naive
    assert count > 1 or macs.tree == macs.naive


def test_two_thousand_candidates_of_panc() -> None:
    """1.58 times fewer multiply-accumulates by prefixes alone, 1.81 with the skips' branches shared too."""
    macs = RankingMacs(PANC, tuple(random_paths(SPACE, 2000, seed=0)), 1, 3, (96, 96, 96))
    assert macs.naive / macs.prefixes == pytest.approx(1.58, abs=0.005)
    assert macs.naive / macs.tree == pytest.approx(1.81, abs=0.005)


def test_the_caller_keeps_its_gradients() -> None:
    network, paths, x = supernet(PANC), random_paths(SPACE, 3, seed=0), torch.randn(1, 1, *SIZE)
    for _, logits in evaluate_paths(network, x, paths):
        assert torch.is_grad_enabled()
        assert not logits.requires_grad
