"""Labels in the original grid slab by slab equal those of whole volumes of scores."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from known_networks import tiny_network

from c2fnas.data.geometry import Geometry
from c2fnas.data.restoration import Restoration
from c2fnas.data.scheme import LabelScheme
from c2fnas.inference import restoring, undisputed
from c2fnas.inference.ensemble import Ensemble, Fusion, Vote
from c2fnas.inference.sinks import Keep, RestoringSink
from c2fnas.inference.sliding_window import SlidingWindow

sizes = st.tuples(*[st.integers(1, 9)] * 3)


@st.composite
def restorations(draw: st.DrawFn) -> Restoration:
    """Turned and flipped axes, a crop, a resampling, or none of them."""
    order, signs = draw(st.permutations((0, 1, 2))), draw(st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3))
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(signs)[list(order)]
    way = Restoration.to_axes(Geometry.from_array(draw(sizes), matrix), draw(st.permutations((0, 1, 2))))
    box = tuple(
        (first, draw(st.integers(first + 1, size))) for size in way.shape for first in (draw(st.integers(0, size - 1)),)
    )
    way = way.cropped(box)  # type: ignore[arg-type]
    return way.to_shape(draw(sizes), draw(st.sampled_from((None, 0, 2)))) if draw(st.booleans()) else way


def cuts(size: int, data: st.DataObject) -> list[slice]:
    inner = sorted(data.draw(st.sets(st.integers(1, size - 1)))) if size > 1 else []
    return [slice(a, b) for a, b in zip([0, *inner], [*inner, size], strict=True)]


@pytest.mark.exact
@settings(deadline=None, max_examples=60)
@given(way=restorations(), data=st.data(), step=st.integers(1, 200))
def test_one_model_gives_the_argmax_of_whole_scores(way: Restoration, data: st.DataObject, step: int) -> None:
    scores = torch.from_numpy(np.random.default_rng(0).normal(size=(3, *way.shape)).astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restoring, "SLAB_VOXELS", step)
        sink = RestoringSink(way)
        for planes in cuts(way.shape[0], data):
            slab = scores[:, planes].clone()
            sink(planes, slab)
            slab.fill_(torch.nan)  # the blend reuses its memory
    assert np.array_equal(sink.labels, way.argmax(scores))


@pytest.mark.exact
@settings(deadline=None, max_examples=60)
@given(way=restorations(), data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_interpolating_where_labels_differ_gives_the_same(way: Restoration, data: st.DataObject, seed: int) -> None:
    """Scores of few levels, many alike or apart by a rounding; half of the volume is of one class."""
    rng = np.random.default_rng(seed)
    levels = np.array([-1, 0, 1, np.nextafter(np.float32(1), np.float32(2)), 1 + 1e-6, 300], dtype=np.float32)
    scores = torch.from_numpy(rng.choice(levels, (3, *way.shape), p=[0.1, 0.1, 0.25, 0.25, 0.25, 0.05]))
    scores[data.draw(st.integers(0, 2)), : len(scores[0]) // 2] += 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(undisputed, "MOST", 1.0)
        for scheme, decode in ((SCHEME, SCHEME.decode), (REGIONS, REGIONS.decode)):
            sink = RestoringSink(way, scheme=scheme)
            for planes in cuts(way.shape[0], data):
                sink(planes, scores[:, planes])
            assert np.array_equal(sink.labels, way.argmax(scores, decode))


SCHEME = LabelScheme.of("background", "organ", "lesion")
REGIONS = LabelScheme.of("background", "whole", "core", "tip", values=[(0,), (1, 2, 3), (2, 3), (3,)], order=(1, 2, 3))


@pytest.mark.exact
@settings(deadline=None, max_examples=30)
@given(way=restorations(), data=st.data())
def test_regions_are_decoded_from_whole_scores(way: Restoration, data: st.DataObject) -> None:
    scores = torch.from_numpy(np.random.default_rng(0).normal(size=(3, *way.shape)).astype(np.float32))
    sink = RestoringSink(way, scheme=REGIONS)
    for planes in cuts(way.shape[0], data):
        sink(planes, scores[:, planes])
    assert np.array_equal(sink.labels, way.argmax(scores, REGIONS.decode))


@pytest.mark.exact
@pytest.mark.parametrize("vote", ["majority", "mean"])
@settings(deadline=None, max_examples=30)
@given(way=restorations(), data=st.data(), models=st.integers(2, 4))
def test_several_models_give_the_fusion_of_whole_scores(
    vote: Vote, way: Restoration, data: st.DataObject, models: int
) -> None:
    scores = torch.from_numpy(np.random.default_rng(0).normal(size=(models, 3, *way.shape)).astype(np.float32))
    fusion = Fusion(vote, way.argmax)
    for each in scores:
        fusion.add(each)
    sink = RestoringSink(way, models, vote)
    for planes in cuts(way.shape[0], data):
        sink(planes, scores[:, :, planes].flatten(0, 1))
    inside = way.view(np.ones(way.original.shape, dtype=bool))
    assert np.array_equal(way.view(sink.labels)[inside], way.view(fusion.labels())[inside])


@pytest.mark.exact
@pytest.mark.parametrize("models", [1, 2, 3, 5])
@pytest.mark.parametrize("order", [None, (1, 2)])
def test_probabilities_are_made_of_some_planes_of_a_model_at_a_time(
    monkeypatch: pytest.MonkeyPatch, models: int, order: tuple[int, ...] | None
) -> None:
    """Memory besides the logits is that of a few planes; the mean is that of all models at once, bit for bit.

    Planes fill a processor's registers here: what is left over of others is rounded by another function there.
    """
    shape, taken, plane = (11, 8, 16), list[int](), 3 * 8 * 16
    scheme, probabilities = LabelScheme(order=order), LabelScheme.probabilities
    logits = torch.randn(models * 3, *shape, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([probabilities(scheme, own) for own in logits.chunk(models)]).mean(0).numpy()

    def spy(scheme: LabelScheme, scores: torch.Tensor) -> torch.Tensor:
        taken.append(scores.numel())
        return probabilities(scheme, scores)

    monkeypatch.setattr(LabelScheme, "probabilities", spy)
    monkeypatch.setattr(restoring, "SLAB_VOXELS", 2 * plane)
    way = Restoration.to_axes(Geometry.from_array(shape, np.eye(4)))
    sink = RestoringSink(way, models, keep=Keep("network", 3), scheme=scheme)
    monkeypatch.setattr(sink._way, "take", lambda *_: None)
    for planes in (slice(0, 7), slice(7, 11)):
        sink(planes, logits[:, planes])
    assert max(taken) == 2 * plane
    assert sink.probabilities is not None
    assert np.array_equal(sink.probabilities, expected)


@pytest.mark.exact
@pytest.mark.parametrize("vote", ["majority", "mean"])
def test_a_streamed_ensemble_equals_its_members_fused(vote: Vote) -> None:
    networks = [tiny_network(seed=seed) for seed in range(3)]
    image = np.random.default_rng(0).standard_normal((1, 13, 7, 9)).astype(np.float32)
    way = Restoration.to_axes(Geometry.from_array((10, 9, 9), np.eye(4))).to_shape((13, 7, 9))
    window = SlidingWindow((6, 6, 6), (3, 4, 5))
    streamed = next(window.stream(Ensemble(networks), [(image, RestoringSink(way, 3, vote))], device="cpu")).labels
    fusion = Fusion(vote, way.argmax)
    for network in networks:
        fusion.add(window.scores(network, image, device="cpu"))
    assert np.array_equal(streamed, fusion.labels())
    assert len(np.unique(streamed)) > 1
