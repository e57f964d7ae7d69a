"""Prediction, ranking and evaluation on a stand-in for a GPU: the labels of a CPU, and no tensor of the host beside."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ranked_cases import PATCH, SCHEME, prepared, supernet
from small_models import PLAN, save_small_model, write_image
from stand_in import DEVICE, Accelerator, StandIn, on_host
from torch import Tensor, nn

from c2fnas.data.cache import PreparedCase
from c2fnas.data.volume import read_image
from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.evaluation.path_ranking import score_by_case
from c2fnas.inference.forward import Forward
from c2fnas.inference.package import load_package
from c2fnas.inference.predictor import Predictor
from c2fnas.inference.sinks import Keep
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.search.paths import random_paths
from c2fnas.space.search_space import SearchSpace

PLACES = ("cpu", "cuda:0")
WINDOW = SlidingWindow(PATCH, (6, 5, 8), batch=3)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[PreparedCase]:
    return list(prepared(tmp_path_factory.mktemp("ranked")).cases.values())


def network() -> nn.Module:
    return supernet().extract(random_paths(SearchSpace(cells=5, downsamplings=1), 1, seed=0)[0])


@pytest.mark.parametrize("weighting", ["constant", "gaussian"])
@pytest.mark.parametrize("shape", [(20, 13, 9), (6, 7, 5)])
def test_windows_blend_as_on_a_cpu(accelerator: Accelerator, weighting, shape: tuple[int, int, int]) -> None:
    image, window = (
        np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32),
        replace(WINDOW, weighting=weighting),
    )
    own, other = (window.scores(network(), image, device=place) for place in PLACES[::-1])
    assert on_host(own)
    torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4)
    labels = window.labels(network(), torch.from_numpy(image).to(DEVICE), device=DEVICE)
    assert np.array_equal(labels, own.argmax(0).numpy())


def test_networks_score_as_on_a_cpu(accelerator: Accelerator, cases: list[PreparedCase]) -> None:
    """Restored to grids that are resampled and turned, and measured there."""
    own, other = (evaluate_network(network(), cases, WINDOW, scheme=SCHEME, device=place) for place in PLACES)
    assert own.mean == pytest.approx(other.mean, abs=1e-3)
    assert own.per_class == pytest.approx(other.per_class, abs=1e-3)


def test_paths_rank_as_on_a_cpu(accelerator: Accelerator, cases: list[PreparedCase]) -> None:
    paths = random_paths(SearchSpace(cells=5, downsamplings=1), 5, seed=0)

    def rows(place: str) -> list[float]:
        results = score_by_case(supernet(), cases[:3], paths, WINDOW, scheme=SCHEME, device=place)
        return [value for result in results for row in result.rows for value in row.dice.values()]

    own, other = map(rows, PLACES)
    assert own == pytest.approx(other, abs=1e-2)
    assert len(set(own)) > len(paths)


@pytest.mark.parametrize(("vote", "mirror"), [("majority", False), ("mean", True)])
def test_models_vote_as_on_a_cpu(tmp_path: Path, accelerator: Accelerator, vote, mirror: bool) -> None:
    for seed in (0, 1):
        save_small_model(tmp_path / str(seed), seed)
    write_image(tmp_path / "a.nii.gz", affine=np.diag([1.5, 0.8, 1, 1]))
    window = SlidingWindow(PLAN.patch_size, PLAN.stride)

    def sink(place: str):
        models = tuple(load_package(tmp_path / str(seed)) for seed in (0, 1))
        predictor = Predictor(models, window, vote, mirror, device=place)
        path = tmp_path / "a.nii.gz"
        return predictor.label(read_image((path,), "a"), path, Keep("image", len(PLAN.classes)))[0]

    own, other = map(sink, PLACES)
    np.testing.assert_allclose(own.probabilities, other.probabilities, atol=1e-4)
    assert (own.labels != other.labels).mean() < 0.01


def test_short_of_memory_a_prediction_goes_on_with_the_cpu(
    accelerator: Accelerator, caplog: pytest.LogCaptureFixture
) -> None:
    """The network comes back from the device, and so do windows."""

    class Crowded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def forward(self, x: Tensor) -> Tensor:
            if isinstance(x, StandIn):
                raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
            return self.network(x)

    image = np.random.default_rng(0).normal(size=(1, 14, 10, 9)).astype(np.float32)
    scores = WINDOW.scores(Crowded(), image, device="cuda:0")
    torch.testing.assert_close(scores, WINDOW.scores(network(), image, device="cpu"), rtol=1e-4, atol=1e-4)
    assert "going on with the CPU" in caplog.text


def test_where_not_even_one_window_gets_to_a_gpu_the_cpu_computes_it(
    accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another process has filled the device since the network was moved there."""
    forward, to = Forward(network(), "cuda:0"), Tensor.to

    def full(tensor: Tensor, *arguments: object, **options: object) -> Tensor:
        if arguments and arguments[0] == DEVICE:
            raise RuntimeError("CUDA error: out of memory")
        return to(tensor, *arguments, **options)

    monkeypatch.setattr(Tensor, "to", full)
    window = np.random.default_rng(0).normal(size=(1, 1, *PATCH)).astype(np.float32)
    assert forward.size(window) == 1
    torch.testing.assert_close(forward(window), Forward(network(), "cpu")(window))
    assert caplog.text.count("going on with the CPU") == 1


def test_a_weight_left_on_the_host_is_found(accelerator: Accelerator) -> None:
    class HostWeight(nn.Module):
        weight = torch.ones(2, 1, 1, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.conv3d(x, self.weight)

    with pytest.raises(RuntimeError, match="same device"):
        WINDOW.scores(HostWeight(), np.zeros((1, *PATCH), np.float32), device="cuda:0")
