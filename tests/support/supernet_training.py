"""A super-network's training on batches that are a function of the iteration; run by torchrun, it saves its weights."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from c2fnas.networks import SuperNetwork
from c2fnas.search.paths import UniformPaths
from c2fnas.space.operation import Operation
from c2fnas.space.topology import Topology
from c2fnas.training.device import ranks
from c2fnas.training.loop import train
from c2fnas.training.recipe import Recipe
from c2fnas.training.weights import save_weights

SIZE = (9, 8, 6)
TOPOLOGY = Topology((0, 1, 0, 0))
PATHS = UniformPaths(tuple(Operation), TOPOLOGY.cells, seed=3)


def supernet() -> SuperNetwork:
    torch.manual_seed(0)
    return SuperNetwork(TOPOLOGY, in_channels=1, classes=2, width=1 / 16)


def batches(start: int, stop: int) -> Iterator[SimpleNamespace]:
    """Four patches an iteration; under torchrun, this process's share of them."""
    rank, world = ranks()
    for iteration in range(start, stop):
        generator = torch.Generator().manual_seed(iteration)
        label = torch.randint(2, (4, *SIZE), generator=generator)
        image = label[:, None] + 0.5 * torch.randn(4, 1, *SIZE, generator=generator)
        yield SimpleNamespace(image=image[rank::world], label=label[rank::world])


def recipe(iterations: int, **changes: object) -> Recipe:
    """With momentum and weight decay, either of which would move a weight whose gradient is zero."""
    values = {
        "name": "test",
        "iterations": iterations,
        "learning_rate": 0.05,
        "warmup_from": 0.01,
        "warmup_iterations": 1,
        "schedule": "polynomial",
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.01,
        "augmentation": "none",
    }
    return Recipe(**(values | changes))


def along_path(network: nn.Module, image: Tensor, iteration: int) -> Tensor:
    return network(image, PATHS(iteration))


def trained(iterations: int, folder: Path, **more) -> SuperNetwork:
    network = supernet()
    train(network, batches, recipe(iterations), folder=folder, device="cpu", forward=along_path, **more)
    return network


if __name__ == "__main__":
    destination = Path(sys.argv[1])
    network = trained(int(sys.argv[2]), destination / "training")
    if ranks()[0] == 0:
        save_weights(destination / "weights.safetensors", network)
