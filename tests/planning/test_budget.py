"""Budgets: the presets say what the paper says, and hours become iteration counts that fit them."""

import pytest
from c2fnas.planning.timing import Timings
from hypothesis import given
from hypothesis import strategies as st

from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan
from c2fnas.planning.budget import (
    CASE_OVERHEAD,
    FEWEST_ITERATIONS,
    START_SECONDS,
    Workload,
    pair_seconds,
    ranking_pairs,
    schedule,
)
from c2fnas.planning.configure import resolved_recipe
from c2fnas.planning.presets import BUDGETS, RecipeChoice, load_preset
from c2fnas.training.recipe import PaperStage, Recipe, modern_recipe, paper_recipe

PLAN = Plan(
    channels=(ChannelPlan(name="MRI", kind="mr"),),
    classes=(ClassPlan(name="a", values=(0,)), ClassPlan(name="b", values=(1,))),
    spacing=(1, 1, 1),
    patch_size=(40, 56, 40),
    stride=(20, 28, 20),
    ranking_stride=(40, 56, 40),
    batch_size=4,
    foreground_rate=0.5,
)


def resolve(choice: RecipeChoice, stage: PaperStage) -> Recipe:
    """The recipe of a choice, with batches of two patches."""
    return resolved_recipe(choice, stage, PLAN.model_copy(update={"batch_size": 2}), "fp32")


def test_the_paper_budget_is_the_papers_to_the_letter() -> None:
    paper = load_preset("paper")
    assert (paper.plan, paper.width, paper.hours) == ("paper", 1.0, None)
    assert (paper.coarse.clusters, paper.coarse.per_cluster, paper.coarse.evaluations) == (8, 2, 50)
    assert (paper.coarse.random_share, paper.fine.candidates, paper.fine.cases) == (0.2, 2000, None)
    assert (paper.fine.sampling, paper.fine.choose, paper.fine.rungs) == ("uniform", "random", 1)
    for stage, choice in (
        ("coarse", paper.coarse.recipe),
        ("supernet", paper.fine.recipe),
        ("deployment", paper.deployment.recipe),
    ):
        assert resolved_recipe(choice, stage, PLAN, "fp32") == paper_recipe(stage)


@pytest.mark.parametrize("budget", BUDGETS)
def test_no_preset_shrinks_a_network_in_one_stage_alone(budget: str) -> None:
    """Width and plan are the preset's, so that no stage can have its own."""
    preset = load_preset(budget)
    for stage in (preset.coarse, preset.fine, preset.deployment):
        assert not {"width", "patch_size", "plan"} & set(type(stage).model_fields)


def test_the_modern_recipe_takes_batch_and_foreground_from_the_plan() -> None:
    recipe = resolved_recipe(RecipeChoice(name="modern", iterations=6000), "coarse", PLAN, "bf16")
    assert (recipe.batch_size, recipe.foreground_rate, recipe.precision) == (4, 0.5, "bf16")
    assert recipe.momentum == modern_recipe(6000).momentum


@given(
    patch=st.floats(1e-3, 1.0),
    share=st.floats(0.05, 1.0),
    augmented=st.floats(0, 2),
    devices=st.integers(1, 8),
    cases=st.integers(1, 60),
    windows=st.floats(1, 30),
    budget=st.sampled_from(["hour", "day"]),
)
def test_a_schedule_fits_the_shares_of_its_hours(
    patch: float, share: float, augmented: float, devices: int, cases: int, windows: float, budget: str
) -> None:
    preset, timings = load_preset(budget), Timings(patch=patch, window=patch * share, augmentation=patch * augmented)
    derived = schedule(preset, timings, Workload(cases, windows, windows / 2, devices), resolve, 5)
    seconds = preset.hours * 3600

    def training(iterations: int) -> float:
        return iterations * 2 * patch * (1 + (modern_recipe(iterations).augmentation == "modern") * augmented)

    evaluation = cases * (windows * timings.window + CASE_OVERHEAD)
    coarse = derived.coarse.recipe.iterations
    spent = preset.coarse.evaluations * (START_SECONDS + evaluation + training(coarse)) / devices
    assert spent <= seconds * preset.shares.coarse + 1 or coarse == FEWEST_ITERATIONS
    assert training(derived.fine.recipe.iterations) <= seconds * preset.shares.supernet + 1
    assert 1 <= derived.fine.cases <= cases
    pairs = ranking_pairs(preset.fine, derived.fine.cases)
    ranked = pairs * pair_seconds(timings, Workload(cases, windows, windows / 2, devices)) / devices
    assert ranked <= seconds * preset.shares.ranking + 1 or derived.fine.cases == 1
    assert derived.coarse.evaluations == preset.coarse.evaluations
    final = derived.deployment.recipe.iterations
    rounds = 5 / min(devices, 5) + 10 / min(devices, 10)  # a fold each, then the verdict's two networks a fold
    mirrored = cases * 7 * windows * timings.window if modern_recipe(final).mirror else 0  # seven views more
    spent = rounds * (START_SECONDS + evaluation + mirrored + training(final))
    assert spent <= seconds * preset.shares.deployment + 1 or final == FEWEST_ITERATIONS


def test_without_a_verdict_its_time_goes_to_the_deployed_networks() -> None:
    preset, timings, work = load_preset("hour"), Timings(patch=0.05, window=0.01), Workload(10, 8, 4, devices=1)
    alone = schedule(preset.model_copy(update={"verdict": False}), timings, work, resolve, 1)
    judged = schedule(preset, timings, work, resolve, 1)
    assert (alone.coarse, alone.fine) == (judged.coarse, judged.fine)
    assert alone.deployment.recipe.iterations > 3 * judged.deployment.recipe.iterations


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_budget_but_the_papers_has_a_verdict(budget: str) -> None:
    assert load_preset(budget).verdict == (budget != "paper")


@pytest.mark.parametrize(("rungs", "cases"), [(1, 40), (3, 40), (3, 2), (2, 1)])
def test_pairs_are_those_that_halving_scores(rungs: int, cases: int) -> None:
    """Counted one by one: every rung's candidates on the cases they have not seen, then the audit's on all."""
    fine = load_preset("day").fine.model_copy(update={"candidates": 100, "rungs": rungs, "audit": 10})
    counts = sorted({-(-cases // 3**below) for below in range(rungs)})
    pairs, seen = 0, 0
    for number, count in enumerate(counts):
        pairs += -(-100 // 3**number) * (count - seen)
        seen = count
    assert ranking_pairs(fine, cases) == pairs + (10 * cases if len(counts) > 1 else 0)
