"""Every voting rule against its definition, voxel by voxel; on one grid, across grids, and streamed in slabs."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from c2fnas.data.geometry import Geometry
from c2fnas.data.restoration import Restoration
from c2fnas.data.scheme import LabelScheme
from c2fnas.inference.ensemble import Fusion
from c2fnas.inference.options import Vote
from c2fnas.inference.sinks import Keep, RestoringSink

VOTES: tuple[Vote, ...] = ("majority", "mean")


def plain_argmax(scores: torch.Tensor) -> np.ndarray:
    """The index of the largest of the scores ``[classes, i, j, k]``."""
    return scores.argmax(0).to(torch.uint8).numpy()


def brute_force(logits: torch.Tensor, vote: Vote) -> np.ndarray:
    """``[models, classes, i, j, k]`` to labels by the definition."""
    probability = logits.softmax(1).mean(0)
    result = np.zeros(logits.shape[2:], np.uint8)
    for voxel in np.ndindex(*logits.shape[2:]):
        here = (slice(None), slice(None), *voxel)
        votes = Counter(logits[here].argmax(1).tolist())
        lead = [c for c, count in votes.items() if count == max(votes.values())]
        candidates = lead if vote == "majority" else range(logits.shape[1])
        result[voxel] = max(candidates, key=lambda c: probability[(c, *voxel)].item())
    return result


def random_logits(models: int, classes: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 2, (models, classes, 3, 4, 2)))


@pytest.mark.parametrize("vote", VOTES)
@settings(deadline=None, max_examples=25)
@given(models=st.integers(1, 6), classes=st.integers(2, 5), seed=st.integers(0, 10**6))
def test_fusion_is_its_definition(vote: Vote, models: int, classes: int, seed: int) -> None:
    logits = random_logits(models, classes, seed).float()
    fusion = Fusion(vote, plain_argmax)
    for each in logits:
        fusion.add(each)
    assert np.array_equal(fusion.labels(), brute_force(logits, vote))


@pytest.mark.parametrize("vote", VOTES)
def test_slab_by_slab_is_the_whole(vote: Vote) -> None:
    logits = random_logits(4, 3, seed=1).float()
    way = Restoration.to_axes(Geometry.from_array((3, 4, 2), np.eye(4)))
    sink = RestoringSink(way, models=4, vote=vote)
    for planes in (slice(0, 1), slice(1, 3)):
        sink(planes, logits[:, :, planes].flatten(0, 1))
    assert np.array_equal(sink.labels, brute_force(logits, vote))


@pytest.mark.parametrize("vote", VOTES)
def test_votes_are_counted_in_the_grid_of_the_argmax(vote: Vote) -> None:
    # Nearest-neighbour enlargement commutes with every rule.
    logits = random_logits(4, 3, seed=2).float()

    def doubled(scores: torch.Tensor) -> np.ndarray:
        return plain_argmax(scores).repeat(2, axis=0)

    fusion = Fusion(vote, doubled)
    for each in logits:
        fusion.add(each)
    assert np.array_equal(fusion.labels(), brute_force(logits, vote).repeat(2, axis=0))


@pytest.mark.parametrize("vote", VOTES)
def test_one_model_alone_decides(vote: Vote) -> None:
    logits = random_logits(1, 4, seed=3).float()
    fusion = Fusion(vote, plain_argmax)
    fusion.add(logits[0])
    assert np.array_equal(fusion.labels(), plain_argmax(logits[0]))


def test_majority_and_mean_differ_where_a_confident_minority_stands_against_it() -> None:
    logits = torch.tensor([[0.1, 0.0], [0.1, 0.0], [0.0, 9.0]])[:, :, None, None, None]
    results = []
    for vote in VOTES:
        fusion = Fusion(vote, plain_argmax)
        for each in logits:
            fusion.add(each)
        results.append(int(fusion.labels().item()))
    assert results == [0, 1]


def test_a_tie_is_settled_among_those_that_share_the_lead() -> None:
    # Two votes each for 0 and 1, one for 2, whose mean probability is the largest of all: it must not win.
    logits = torch.tensor([[1.0, 0, 0.99], [1.0, 0, 0.99], [0, 1.01, 1.0], [0, 1.01, 1.0], [0, 0, 9.0]])
    fusion = Fusion("majority", plain_argmax)
    for each in logits:
        fusion.add(each[:, None, None, None])
    assert logits.softmax(1).mean(0).argmax() == 2
    assert int(fusion.labels().item()) == 1


REGIONS = LabelScheme.of("background", "whole", "core", "tip", values=[(0,), (1, 2, 3), (2, 3), (3,)], order=(1, 2, 3))


@pytest.mark.parametrize("vote", VOTES)
@settings(deadline=None, max_examples=25)
@given(models=st.integers(2, 6), seed=st.integers(0, 10**6))
def test_regions_are_voted_on_one_by_one(vote: Vote, models: int, seed: int) -> None:
    """Brute force: voxel by voxel and region by region; a sink does the same, slab by slab."""
    logits = random_logits(models, 3, seed).float()
    probability, for_it = logits.sigmoid().mean(0), (logits > 0).sum(0)
    expected = np.zeros((3, 4, 2), int)
    for place in np.ndindex(3, 4, 2):
        for region in range(3):
            likely, votes = probability[(region, *place)] > 0.5, for_it[(region, *place)]
            if likely if vote == "mean" or 2 * votes == models else 2 * votes > models:
                expected[place] = region + 1
    way = Restoration.to_axes(Geometry.from_array((3, 4, 2), np.eye(4)))
    for grid in ("image", "network"):
        sink = RestoringSink(way, models, vote, Keep(grid, 3, disputed=True), REGIONS)
        for planes in (slice(0, 1), slice(1, 3)):
            sink(planes, logits[:, :, planes].flatten(0, 1))
        assert np.array_equal(sink.labels, expected)
        np.testing.assert_allclose(sink.probabilities, probability, atol=1e-6)
        found = [(each > 0).numpy() for each in logits]
        differ = sum(any((own[:, *at] != found[0][:, *at]).any() for own in found) for at in np.ndindex(3, 4, 2))
        assert sink.disputed.tolist() == [differ, int(np.any(found, axis=(0, 1)).sum())]
