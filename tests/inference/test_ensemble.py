"""Mirroring and ensembles as networks."""

import numpy as np
import pytest
import torch
from known_networks import Pointwise, tiny_network

from c2fnas.inference.ensemble import FLIPS, Ensemble, FusedLabelSink, Mirrored, Vote
from c2fnas.inference.sliding_window import SlidingWindow


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


@pytest.mark.parametrize("vote", ["majority", "mean"])
def test_a_streamed_ensemble_equals_its_members_fused(vote: Vote) -> None:
    networks = [tiny_network(seed=seed) for seed in range(3)]
    image = np.random.default_rng(0).standard_normal((1, 13, 7, 9)).astype(np.float32)
    window = SlidingWindow((6, 6, 6), (3, 4, 5))
    sink = FusedLabelSink((13, 7, 9), 3, vote)
    streamed = next(window.stream(Ensemble(networks), [(image, sink)], device="cpu")).labels
    apart = FusedLabelSink((13, 7, 9), 3, vote)
    apart(slice(0, 13), torch.cat([window.scores(network, image, device="cpu") for network in networks]))
    assert np.array_equal(streamed, apart.labels)
    assert len(np.unique(streamed)) > 1
