"""The schedule against the numbers that the paper prints."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from c2fnas.training.recipe import FEW_CASES, LONG, WORN, WORN_LENGTH, Recipe, modern_recipe, paper_recipe

LAST_OF_WARMUP = 0.0025 + 0.0175 * 999 / 1000
BOUNDARIES = {
    "coarse": {
        0: 0.0025,
        999: LAST_OF_WARMUP,
        1000: 0.02,
        7999: 0.02,
        8000: 0.01,
        15_999: 0.01,
        16_000: 0.005,
        19_999: 0.005,
    },
    "supernet": {
        0: 0.0025,
        999: LAST_OF_WARMUP,
        1000: 0.02,
        8000: 0.02,
        15_999: 0.02,
        16_000: 0.01,
        31_999: 0.01,
        32_000: 0.005,
        39_999: 0.005,
    },
    "deployment": {
        0: 0.0025,
        999: LAST_OF_WARMUP,
        1000: 0.02,
        15_999: 0.02,
        16_000: 0.01,
        31_999: 0.01,
        32_000: 0.005,
        39_999: 0.005,
    },
}


@pytest.mark.parametrize(
    ("stage", "iteration", "rate"),
    [(stage, iteration, rate) for stage, rates in BOUNDARIES.items() for iteration, rate in rates.items()],
)
def test_paper_rate_at_its_boundaries(stage, iteration, rate):
    assert paper_recipe(stage).learning_rate_at(iteration) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(("stage", "iterations"), [("coarse", 20_000), ("supernet", 40_000), ("deployment", 40_000)])
def test_paper_recipe_is_what_the_paper_prints(stage, iterations):
    recipe = paper_recipe(stage)
    assert (recipe.iterations, recipe.momentum, recipe.weight_decay, recipe.nesterov) == (iterations, 0.9, 4e-5, False)
    assert (recipe.volumes, recipe.patches_per_volume, recipe.batch_size) == (8, 2, 16)
    assert (recipe.augmentation, recipe.foreground_rate, recipe.gradient_clip) == ("paper", 0.0, None)


def test_doubling_a_coarse_candidate_gives_the_supernetwork():
    assert paper_recipe("coarse").with_iterations(40_000) == paper_recipe("supernet")


@given(st.integers(1, 100_000))
def test_polynomial_rate_rises_in_the_warmup_then_falls_towards_zero(iterations):
    recipe = modern_recipe(iterations)
    rates = [
        recipe.learning_rate_at(i) for i in sorted({*range(0, iterations, max(1, iterations // 50)), iterations - 1})
    ]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < min(rates) <= max(rates) <= recipe.learning_rate
    assert recipe.learning_rate_at(iterations) == 0


def test_polynomial_rate_in_closed_form():
    assert modern_recipe(LONG).learning_rate_at(LONG // 2) == pytest.approx(0.01 * 0.5**0.9)


@pytest.mark.parametrize(
    ("iterations", "optimiser", "augmentation"),
    [
        (20, "adamw", "unmirrored"),
        (LONG - 1, "adamw", "unmirrored"),
        (LONG, "sgd", "modern"),
        (250_000, "sgd", "modern"),
    ],
)
def test_what_a_modern_recipe_does_depends_on_its_length(iterations, optimiser, augmentation):
    recipe = modern_recipe(iterations)
    assert (recipe.optimiser, recipe.augmentation, recipe.mirror) == (optimiser, augmentation, augmentation == "modern")


@pytest.mark.parametrize(
    ("iterations", "cases", "augmentation"),
    [
        (WORN_LENGTH, 2 * WORN_LENGTH // WORN, "strong"),
        (WORN_LENGTH, 2 * WORN_LENGTH // WORN + 1, "unmirrored"),
        (WORN_LENGTH - 1, 1, "unmirrored"),
        (LONG - 1, FEW_CASES - 1, "strong"),
        (LONG - 1, FEW_CASES, "unmirrored"),
        (LONG, FEW_CASES - 1, "strong"),
        (LONG, math.inf, "modern"),
    ],
)
def test_few_cases_that_would_be_learnt_by_heart_are_mirrored_earlier_and_scaled_more(iterations, cases, augmentation):
    recipe = modern_recipe(iterations, 2, cases)
    assert recipe.augmentation == augmentation
    assert recipe.mirror == (augmentation != "unmirrored")


@given(st.integers(20, 10**6))
def test_milestones_keep_their_share(iterations):
    recipe = paper_recipe("coarse").with_iterations(iterations)
    assert recipe.milestones == pytest.approx((0.4 * iterations, 0.8 * iterations), abs=0.51)
    assert recipe.warmup_iterations <= min(1000, max(1, iterations // 20))
    assert Recipe.model_validate(recipe.model_dump()) == recipe


@pytest.mark.parametrize(
    "change",
    [
        {"milestones": (5, 5)},
        {"momentum": 1.0},
        {"precision": "tf32"},
        {"learning_rate": 0},
        {"iteration": 3},
        {"nesterov": True, "momentum": 0.0},
        {"nesterov": True, "optimiser": "adamw"},
        {"optimiser": "adam"},
    ],
)
def test_refuses(change):
    with pytest.raises(ValidationError):
        Recipe.model_validate(paper_recipe("coarse").model_dump() | change)
