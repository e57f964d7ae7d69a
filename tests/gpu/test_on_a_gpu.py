"""A real card against the CPU, where there is one: what the stand-in can't show."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ranked_cases import PATCH, SCHEME, prepared, supernet
from torch import Tensor
from toy import alternating, batches, recipe, toy

from c2fnas.data.cache import PreparedCase
from c2fnas.evaluation.evaluate import evaluate_network
from c2fnas.evaluation.path_ranking import score_by_case
from c2fnas.inference.sliding_window import SlidingWindow
from c2fnas.memory import free_memory, is_out_of_memory
from c2fnas.networks import build_network
from c2fnas.search.paths import random_paths
from c2fnas.space.architecture import Architecture
from c2fnas.space.memory import training_memory
from c2fnas.space.search_space import SearchSpace
from c2fnas.training.loop import train
from c2fnas.training.recipe import paper_recipe
from c2fnas.training.step import Stepper

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]
PLACES = ("cpu", "cuda:0")
WINDOW = SlidingWindow(PATCH, (6, 5, 8), batch=3)
PATHS = random_paths(SearchSpace(cells=5, downsamplings=1), 9, seed=0)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[PreparedCase]:
    return list(prepared(tmp_path_factory.mktemp("ranked")).cases.values())


@pytest.mark.parametrize("weighting", ["constant", "gaussian"])
def test_windows_blend_as_on_a_cpu(weighting) -> None:
    network, window = supernet().extract(PATHS[0]), replace(WINDOW, weighting=weighting)
    image = np.random.default_rng(0).normal(size=(1, 20, 13, 9)).astype(np.float32)
    own, other = (window.scores(network, image, device=place) for place in PLACES)
    torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-3)


def test_networks_score_as_on_a_cpu(cases: list[PreparedCase]) -> None:
    network = supernet().extract(PATHS[0])
    own, other = (evaluate_network(network, cases, WINDOW, scheme=SCHEME, device=place) for place in PLACES)
    assert own.mean == pytest.approx(other.mean, abs=0.02)


def test_paths_rank_as_their_networks_score(cases: list[PreparedCase]) -> None:
    """Labels are restored and counted on the card; the stand-alone network's are counted on the host."""
    network = supernet()
    rows = [[] for _ in PATHS]
    for result in score_by_case(network, cases, PATHS, WINDOW, scheme=SCHEME, device="cuda:0"):
        for number, row in zip(result.paths, result.rows, strict=True):
            rows[number].append(row)
    for path, own in zip(PATHS, rows, strict=True):
        alone = evaluate_network(network.extract(path), cases, WINDOW, scheme=SCHEME, device="cuda:0")
        found = {row.case: row for row in own if row is not None}
        for row in alone.cases:
            for name, dice in row.dice.items():
                assert found[row.case].dice[name] == pytest.approx(dice, abs=0.02)


def weights(folder: Path, device: str) -> dict[str, Tensor]:
    network = toy(dropout=0.0)
    train(network, batches, recipe(12), folder=folder, device=device, forward=alternating)
    return {name: value.detach().cpu() for name, value in network.state_dict().items()}


def test_trains_as_on_a_cpu(tmp_path: Path) -> None:
    own, other = (weights(tmp_path / place[:3], place) for place in PLACES)
    torch.testing.assert_close(own, other, rtol=1e-2, atol=1e-3)


def test_memory_of_a_step_is_about_what_was_predicted() -> None:
    """A bound on both sides: the plan's patch is chosen by it."""
    panc, size = Architecture.named("c2fnas-panc"), (64, 64, 64)
    predicted = training_memory(panc, in_channels=1, classes=3, input_size=size, precision="bf16").of(2)
    network = build_network(panc, in_channels=1, classes=3).train()
    torch.cuda.reset_peak_memory_stats()
    stepper = Stepper(network, paper_recipe("coarse").model_copy(update={"precision": "bf16"}), "cuda:0")
    batch = SimpleNamespace(image=torch.randn(2, 1, *size), label=torch.randint(3, (2, *size), dtype=torch.uint8))
    for _ in range(2):
        stepper.step(batch, 0)
    assert predicted / 2 < torch.cuda.max_memory_allocated() < 2 * predicted


def test_a_lack_of_memory_is_known_as_one() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2 * free_memory("cuda:0"), dtype=torch.uint8, device="cuda:0")
    assert is_out_of_memory(caught.value)
