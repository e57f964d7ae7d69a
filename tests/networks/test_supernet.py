"""The super-network: a path is a network of its own, and what is off the path is left alone to the last bit."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import supernet_training as training
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from live_memory import LiveMemory
from torch import Tensor

from c2fnas.networks import SuperNetwork, build_network
from c2fnas.search.paths import random_paths
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation, OperationPath
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology
from c2fnas.training.checkpoint import FOLDER, load_newest
from c2fnas.training.weights import load_weights

PANC = Architecture.named("c2fnas-panc")
MOMENTUM = "momentum/"


def used(supernet: SuperNetwork, path: OperationPath) -> set[str]:
    """The names of the parameters on ``path``, which are those of its stand-alone network."""
    return {name for name, _ in supernet.extract(path).named_parameters()}


def panc_supernet(width: float = 1 / 16) -> SuperNetwork:
    torch.manual_seed(1)
    return SuperNetwork(PANC.topology, in_channels=2, classes=3, width=width)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.exact
@settings(deadline=None, max_examples=12)
@given(st.integers(0, 923), st.integers(0, 10**6), st.tuples(*[st.integers(1, 24)] * 3))
def test_a_path_computes_what_its_own_network_does(topology: int, seed: int, size: tuple[int, int, int]) -> None:
    chosen, (path,) = SearchSpace().topologies()[topology], random_paths(SearchSpace(), 1, seed=seed)
    torch.manual_seed(seed)
    supernet = SuperNetwork(chosen, in_channels=1, classes=2, width=1 / 32).eval()
    x = torch.randn(2, 1, *size)
    with torch.no_grad():
        expected = supernet(x, path)
        assert torch.equal(supernet.extract(path)(x), expected)
        network = build_network(Architecture(chosen, path, 1 / 32), in_channels=1, classes=2).eval()
        network.load_state_dict({name: supernet.state_dict()[name] for name in network.state_dict()})
        assert torch.equal(network(x), expected)


@pytest.mark.exact
def test_gradients_along_a_path_are_those_of_its_own_network() -> None:
    supernet = panc_supernet()
    network, x = supernet.extract(PANC.operations), torch.randn(2, 2, 18, 17, 20)
    supernet(x, PANC.operations).square().mean().backward()
    network(x).square().mean().backward()
    ours = {name: parameter.grad for name, parameter in supernet.named_parameters() if parameter.grad is not None}
    assert same(ours, {name: parameter.grad for name, parameter in network.named_parameters()})  # type: ignore[misc]


def test_an_extracted_network_is_a_copy() -> None:
    supernet = panc_supernet().train()
    network = supernet.extract(PANC.operations)
    assert network.architecture == Architecture(PANC.topology, PANC.operations, 1 / 16)
    assert network.training
    before = supernet.state_dict()["stem_in.0.0.weight"].clone()
    network.stem_in[0][0].weight.data.zero_()
    assert torch.equal(supernet.state_dict()["stem_in.0.0.weight"], before)


def test_only_the_operations_differ_between_paths() -> None:
    """Stems, resampling and 1×1×1 convolutions are shared; operations and their norms are separate per input."""
    supernet = panc_supernet()
    by_path = [used(supernet, (operation,) * 12) for operation in Operation]
    assert all(".operations." in name for name in set.union(*by_path) - set.intersection(*by_path))
    assert not any(".operations." in name for name in set.intersection(*by_path))
    assert set.union(*by_path) == {name for name, _ in supernet.named_parameters()}


def test_the_parameters_of_a_path_are_those_that_get_a_gradient() -> None:
    for path in random_paths(SearchSpace(), 3, seed=0):
        supernet = panc_supernet()
        supernet(torch.randn(1, 2, 17, 17, 17), path).square().mean().backward()
        with_gradient = {name for name, parameter in supernet.named_parameters() if parameter.grad is not None}
        assert with_gradient == used(supernet, path)


@pytest.mark.exact
def test_what_is_off_the_path_does_not_move_by_a_bit(tmp_path: Path) -> None:
    """Weights and momenta, at every iteration of a training with momentum and weight decay."""
    iterations, states = 8, []
    network = training.supernet()
    states.append(({name: value.clone() for name, value in network.state_dict().items()}, {}))
    for stop in range(1, iterations + 1):
        own = training.supernet()
        # Extended by an iteration at a time: what lies in the checkpoint is the state after each of them.
        training.train(
            own,
            training.batches,
            training.recipe(iterations).model_copy(update={"iterations": stop}),
            folder=tmp_path,
            device="cpu",
            forward=training.along_path,
            extend=True,
        )
        checkpoint = load_newest(tmp_path / FOLDER)
        assert checkpoint is not None
        momenta = {
            name.removeprefix(MOMENTUM): value
            for name, value in checkpoint.tensors.items()
            if name.startswith(MOMENTUM)
        }
        states.append((own.state_dict(), momenta))
    ever: set[str] = set()
    for iteration, ((weights, momenta), (weights_after, momenta_after)) in enumerate(pairwise(states)):
        active = used(network, training.PATHS(iteration))
        ever |= active
        assert set(momenta_after) == ever
        for name in set(weights) - active:
            assert torch.equal(weights[name], weights_after[name]), name
            assert name not in momenta or torch.equal(momenta[name], momenta_after[name]), name
        assert all(not torch.equal(weights[name], weights_after[name]) for name in active if name.endswith("0.weight"))
    idle_once_moved = ever - used(network, training.PATHS(iterations - 1))
    assert idle_once_moved, "no weight with momentum was ever off the path: the test has shown nothing"


@pytest.mark.exact
def test_an_interrupted_training_takes_the_same_paths(tmp_path: Path) -> None:
    """From the checkpoint of iteration 5 on, a training ends with the weights of an uninterrupted one."""

    class Killed(Exception):
        pass

    def kill(progress) -> None:
        if progress.iteration == 6:
            raise Killed

    with pytest.raises(Killed):
        training.trained(10, tmp_path / "b", checkpoint_every=5, on_progress=kill)
    whole = training.trained(10, tmp_path / "a")
    assert same(training.trained(10, tmp_path / "b").state_dict(), whole.state_dict())


@pytest.mark.long
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Over gloo: the same paths, gradients of the whole batch; unsampled weights and momenta alone on every rank."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        "0",
        "--standalone",
        training.__file__,
        str(tmp_path),
        "6",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300, env={"OMP_NUM_THREADS": "1", "PATH": ""})
    together = training.supernet()
    load_weights(tmp_path / "weights.safetensors", together)
    single = training.trained(6, tmp_path / "single")
    for (name, ours), theirs in zip(together.state_dict().items(), single.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, msg=name)
    moved = set.union(*(used(single, training.PATHS(i)) for i in range(6)))
    checkpoint = load_newest(tmp_path / "training" / FOLDER)
    assert checkpoint is not None
    momenta = {name.removeprefix(MOMENTUM) for name in checkpoint.tensors if name.startswith(MOMENTUM)}
    assert momenta == moved
    fresh = training.supernet().state_dict()
    assert all(torch.equal(together.state_dict()[name], fresh[name]) for name in set(fresh) - moved)


@pytest.mark.parametrize(
    "path", [(operation,) * 12 for operation in Operation] + random_paths(SearchSpace(), 2, seed=1)
)
def test_a_step_takes_the_memory_of_its_own_network_plus_the_idle_weights(path: tuple[Operation, ...]) -> None:
    """Peak of all tensors alive in forward, backward and optimiser step, counted storage by storage."""
    supernet = panc_supernet()
    network = supernet.extract(path)
    idle = sum(parameter.nbytes for parameter in supernet.parameters()) - sum(p.nbytes for p in network.parameters())
    x = torch.randn(2, 2, 24, 20, 18)
    assert peak(supernet, x, path) <= peak(network, x) + idle


def peak(network: torch.nn.Module, x: Tensor, *path: tuple[Operation, ...]) -> int:
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    with LiveMemory(network.parameters()) as memory:
        network(x, *path).square().mean().backward()
        optimiser.step()
    return memory.peak


def test_the_memory_counter_counts() -> None:
    with LiveMemory([]) as memory:
        first = torch.zeros(1000)
        second = first + 1
        del first
        third = second.view(10, 100) * 2
        del second
        fourth = third + 1
    assert memory.peak == 2 * 4000
    assert fourth.shape == (10, 100)


def test_a_space_with_fewer_operations() -> None:
    supernet = SuperNetwork(
        Topology((0, 1, 0)), in_channels=1, classes=2, width=1 / 16, operations=(Operation.CONV3D, Operation.CONV2D)
    )
    assert not any("p3d" in name for name, _ in supernet.named_parameters())
    with pytest.raises(KeyError):
        supernet(torch.randn(1, 1, 9, 9, 9), (Operation.CONV3D, Operation.P3D, Operation.CONV3D))
