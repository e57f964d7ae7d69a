"""Any architecture builds, runs at any size and trains."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional

from c2fnas.networks import SegmentationNetwork, build_network
from c2fnas.networks.cell import build_operation
from c2fnas.networks.channels_last import NormReLU
from c2fnas.space.architecture import Architecture
from c2fnas.space.geometry import level_sizes
from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

SPACE = SearchSpace()
SIZES = [(1, 1, 1), (2, 1, 3), (16, 16, 16), (17, 5, 9), (20, 24, 13), (7, 40, 3)]


def small(topology: Topology, operations: tuple[Operation, ...], in_channels: int = 1, classes: int = 3):
    torch.manual_seed(0)
    return build_network(Architecture(topology, operations, 1 / 32), in_channels=in_channels, classes=classes)


def sampled(count: int, seed: int) -> list[SegmentationNetwork]:
    rng = np.random.default_rng(seed)
    return [small(SPACE.random_topology(rng), SPACE.random_operations(rng)) for _ in range(count)]


@pytest.mark.parametrize("size", SIZES)
def test_runs_at_any_size(size: tuple[int, int, int]) -> None:
    for network in sampled(2, seed=sum(size)):
        logits = network(torch.randn(2, 1, *size))
        assert logits.shape == (2, 3, *size)
        assert torch.isfinite(logits).all()


@pytest.mark.parametrize("size", [(1, 1, 1), (16, 16, 16), (21, 18, 9)])
def test_trains_one_step_at_any_size(size: tuple[int, int, int]) -> None:
    for network in sampled(2, seed=sum(size) + 100):
        network.train()
        before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
        optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
        loss = functional.cross_entropy(network(torch.randn(2, 1, *size)), torch.randint(3, (2, *size)))
        loss.backward()
        optimiser.step()
        assert torch.isfinite(loss)
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter).all(), name
        moved = [name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])]
        assert "stem_in.0.0.weight" in moved
        assert "stem_out.classify.weight" in moved


@pytest.mark.long
def test_every_topology_runs_and_has_gradients() -> None:
    rng = np.random.default_rng(0)
    for topology in SPACE.topologies():
        network = small(topology, SPACE.random_operations(rng))
        network(torch.randn(1, 1, 17, 11, 13)).square().mean().backward()
        assert all(parameter.grad is not None for parameter in network.parameters()), topology.code


def test_learns_one_patch_by_heart() -> None:
    """Signal and gradient reach through all twelve cells."""
    torch.manual_seed(0)
    network = build_network(
        Architecture.from_text("0:2D 0:P3D 1:3D 1:3D 2:3D 3:2D 2:3D 2:3D 1:P3D 0:3D 0:2D 0:3D @0.125"),
        in_channels=1,
        classes=2,
    )
    label = torch.zeros(1, 20, 20, 12, dtype=torch.long)
    label[:, 5:14, 6:15, 3:8] = 1
    image = label[:, None] + 0.5 * torch.randn(1, 1, 20, 20, 12)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = functional.cross_entropy(network(image), label)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_small_inputs_are_padded_and_cropped() -> None:
    network = sampled(1, seed=5)[0].eval()
    x = torch.randn(1, 1, 5, 16, 3)
    padded = functional.pad(x, (0, 14, 0, 1, 0, 12))
    assert padded.shape[2:] == (17, 17, 17)
    assert torch.equal(network(x), network(padded)[..., :5, :16, :3])


def test_sizes_that_are_no_multiple_of_16_pass_through_as_they_are() -> None:
    """40×56×40 keeps its own levels: nothing is padded to 48×64×48."""
    network, seen = sampled(1, seed=6)[0], []
    for cell in network.cells:
        cell.register_forward_hook(lambda _, inputs, output: seen.append(tuple(output.shape[2:])))
    network(torch.randn(1, 1, 40, 56, 40))
    sizes = level_sizes((40, 56, 40), 3)
    assert seen == [sizes[level + 1] for level in network.topology.code]
    assert min(seen) == (3, 4, 3)


def test_cells_carry_their_level_and_sources() -> None:
    """What each cell is given, by hooks, is what the topology says: previous first, then the skip or the one before."""
    network = sampled(1, seed=7)[0].eval()
    outputs: dict[int, torch.Tensor] = {}
    given: list[list[torch.Tensor]] = []
    network.stem_in.register_forward_hook(lambda _, inputs, output: outputs.__setitem__(-1, output))
    for number, cell in enumerate(network.cells):
        cell.register_forward_hook(lambda _, inputs, output, n=number: outputs.__setitem__(n, output))
        cell.register_forward_pre_hook(lambda _, inputs: given.append(list(inputs[0])))
    network.stem_out.register_forward_pre_hook(lambda _, inputs: given.append(list(inputs[0])))
    network(torch.randn(1, 1, 18, 18, 18))
    expected = [*network.topology.inputs, network.topology.outputs]
    assert len(given) == len(expected)
    for inputs, sources in zip(given, expected, strict=True):
        assert [id(tensor) for tensor in inputs] == [id(outputs[source]) for source in sources]


@pytest.mark.parametrize("operation", list(Operation))
def test_an_operation_sees_what_its_kernel_spans(operation: Operation) -> None:
    """The influence of one voxel on its neighbours, without the norm, which mixes everything."""
    block = build_operation(operation, 1)
    convolutions = [part for part in block.modules() if isinstance(part, torch.nn.Conv3d)]
    x = torch.zeros(1, 1, 5, 5, 5)
    x[..., 2, 2, 2] = 1
    for convolution in convolutions:
        torch.nn.init.ones_(convolution.weight)
        x = convolution(x)
    reach = {(i - 2, j - 2, k - 2) for i, j, k in x[0, 0].nonzero().tolist()}
    depth = (0,) if operation is Operation.CONV2D else (-1, 0, 1)
    assert reach == set(product((-1, 0, 1), (-1, 0, 1), depth))


def test_weights_of_the_two_inputs_are_their_own() -> None:
    network = small(Topology((0, 0)), (Operation.CONV3D,) * 2)
    assert [len(cell.branches) for cell in network.cells] == [1, 2]
    first, second = network.cells[1].branches
    assert not {id(parameter) for parameter in first.parameters()} & {
        id(parameter) for parameter in second.parameters()
    }


def test_every_convolution_but_the_last_is_normalised_and_rectified() -> None:
    network = sampled(1, seed=8)[0]
    convolutions = [part for part in network.modules() if isinstance(part, torch.nn.Conv3d)]
    norms = [part for part in network.modules() if isinstance(part, torch.nn.InstanceNorm3d)]
    assert len(convolutions) - 1 == len(norms)
    assert all(isinstance(part, NormReLU) for part in norms)
    assert [part.bias is None for part in convolutions] == [True] * len(norms) + [False]


def test_from_the_package() -> None:
    from c2fnas import Architecture, build_network

    network = build_network(Architecture.from_text("0:3D 1:P3D 0:2D @0.125"), in_channels=2, classes=4)
    assert isinstance(network, torch.nn.Module)
    assert network(torch.zeros(1, 2, 9, 9, 9)).shape == (1, 4, 9, 9, 9)
