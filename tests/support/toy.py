"""A small network with optional paths and batches that are a function of the iteration."""

from collections.abc import Iterator
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from c2fnas.training.recipe import Recipe

CLASSES = 3
SIZE = (6, 5, 4)


class Toy(nn.Module):
    """Stem, one of two branches by the iteration, dropout (so that random generators matter), head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(1, 4, 3, padding=1)
        self.norm = nn.InstanceNorm3d(4, affine=True)
        self.branches = nn.ModuleList([nn.Conv3d(4, 4, 3, padding=1), nn.Conv3d(4, 4, 1)])
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Conv3d(4, CLASSES, 1)

    def forward(self, x: Tensor, branch: int = 0) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        return self.head(self.dropout(torch.relu(self.branches[branch](x))))


def toy(seed: int = 0, dropout: float = 0.1) -> Toy:
    torch.manual_seed(seed)
    network = Toy()
    network.dropout.p = dropout
    return network


def alternating(network: nn.Module, image: Tensor, iteration: int) -> Tensor:
    """Even iterations take the first branch, odd ones the second."""
    return network(image, iteration % 2)


def second(network: nn.Module, image: Tensor, iteration: int) -> Tensor:
    """The second branch, always."""
    return network(image, 1)


def batches(start: int, stop: int, *, size: int = 4, rank: int = 0, world: int = 1) -> Iterator[SimpleNamespace]:
    """Patches whose classes can be told from their intensities."""
    for iteration in range(start, stop):
        generator = torch.Generator().manual_seed(iteration)
        label = torch.randint(CLASSES, (size, *SIZE), generator=generator)
        image = label[:, None] + 0.5 * torch.randn(size, 1, *SIZE, generator=generator)
        yield SimpleNamespace(image=image[rank::world], label=label[rank::world])


def recipe(iterations: int = 12, **changes: object) -> Recipe:
    values = {
        "name": "toy",
        "iterations": iterations,
        "volumes": 4,
        "patches_per_volume": 1,
        "learning_rate": 0.05,
        "warmup_from": 0.01,
        "warmup_iterations": 2,
        "schedule": "polynomial",
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 1e-3,
        "augmentation": "none",
    }
    return Recipe(**(values | changes))


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether they agree to the last bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
