"""Mirroring and ensembles as networks."""

import pytest
import torch
from known_networks import Pointwise, tiny_network

from c2fnas.inference.ensemble import FLIPS, Ensemble, Mirrored


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_there_are_eight_mirrorings() -> None:
    assert len(set(FLIPS)) == 8


def test_mirroring_is_the_mean_of_all_flips() -> None:
    network, x = tiny_network(), torch.randn(2, 1, 6, 5, 4)
    mean = torch.stack([network(x.flip(axes)).flip(axes) for axes in FLIPS]).mean(0)
    torch.testing.assert_close(Mirrored(network)(x), mean)


def test_mirroring_makes_a_network_equivariant() -> None:
    network, x = Mirrored(tiny_network()), torch.randn(1, 1, 6, 5, 4)
    torch.testing.assert_close(network(x.flip((2, 4))), network(x).flip((2, 4)))


def test_mirroring_changes_nothing_for_a_network_without_context() -> None:
    network, x = Pointwise(), torch.randn(1, 1, 4, 4, 4)
    torch.testing.assert_close(Mirrored(network)(x), network(x))


def test_an_ensemble_is_its_networks_side_by_side() -> None:
    networks, x = [tiny_network(seed=seed) for seed in range(2)], torch.randn(2, 1, 6, 5, 4)
    together = Ensemble(networks)(x)
    assert torch.equal(together[:, :3], networks[0](x))
    assert torch.equal(together[:, 3:], networks[1](x))
