"""Budgets: the presets say what the paper says, and hours become iteration counts that fit them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan
from c2fnas.planning.budget import (
    CASE_OVERHEAD,
    FEWEST_ITERATIONS,
    START_SECONDS,
    VERDICT_SHARE,
    Workload,
    estimate,
    pair_seconds,
    ranking_pairs,
    scheduled,
)
from c2fnas.planning.presets import BUDGETS, STAGES, complete_recipe, departures, draft, load_budget, requested
from c2fnas.planning.timings import Timings
from c2fnas.runs.config import CoarseConfig, DeploymentConfig, FineConfig, RunConfig, Shares
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


def resolve(stage: PaperStage, iterations: int) -> Recipe:
    """The modern recipe in a length, with batches of two patches."""
    part = {"name": "modern", "iterations": iterations}
    return complete_recipe(part, stage, PLAN.model_copy(update={"batch_size": 2}), "fp32")


def preset(budget: str) -> RunConfig:
    return draft(load_budget(budget), budget)


def test_the_paper_budget_is_the_papers_to_the_letter() -> None:
    paper = preset("paper")
    assert (paper.plan.style, paper.width, paper.hours) == ("paper", 1.0, None)
    assert (paper.coarse.clusters, paper.coarse.per_cluster, paper.coarse.evaluations) == (8, 2, 50)
    assert (paper.coarse.random_share, paper.fine.candidates, paper.fine.cases) == (0.2, 2000, None)
    assert (paper.fine.sampling, paper.fine.choose, paper.fine.rungs) == ("uniform", "random", 1)
    part = load_budget("paper")
    for name, stage in STAGES.items():
        expected = paper_recipe(stage)
        assert expected.precision == "fp32"
        assert getattr(paper, name).recipe == complete_recipe(part[name]["recipe"], stage, PLAN, "bf16") == expected


@pytest.mark.parametrize("budget", BUDGETS)
def test_no_preset_shrinks_a_network_in_one_stage_alone(budget: str) -> None:
    """Width and plan are the preset's, so that no stage can have its own."""
    for stage in (CoarseConfig, FineConfig, DeploymentConfig):
        assert not {"width", "patch_size", "plan"} & set(stage.model_fields)
    assert not {"width", "plan"} & set().union(*(load_budget(budget)[name] for name in STAGES))


def test_the_modern_recipe_takes_batch_and_foreground_from_the_plan() -> None:
    recipe = complete_recipe({"name": "modern", "iterations": 6000}, "coarse", PLAN, "bf16")
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
    config, timings = preset(budget), Timings(patch=patch, window=patch * share, augmentation=patch * augmented)
    derived = scheduled(config, timings, Workload(cases, windows, windows / 2, devices, 5), resolve)
    assert derived.keys() == {*(f"{name}.recipe.iterations" for name in STAGES), "fine.cases", "references"}
    seconds, shares = config.hours * 3600, config.shares

    def training(iterations: int) -> float:
        return iterations * 2 * patch * (1 + (modern_recipe(iterations).augmentation == "modern") * augmented)

    evaluation = cases * (windows * timings.window + CASE_OVERHEAD)
    coarse = derived["coarse.recipe.iterations"]
    spent = config.coarse.evaluations * (START_SECONDS + evaluation + training(coarse)) / devices
    assert spent <= seconds * shares.coarse + 1 or coarse == FEWEST_ITERATIONS
    assert training(derived["fine.recipe.iterations"]) <= seconds * shares.supernet + 1
    assert 1 <= derived["fine.cases"] <= cases
    pairs = ranking_pairs(config.fine, derived["fine.cases"])
    ranked = pairs * pair_seconds(timings, Workload(cases, windows, windows / 2, devices)) / devices
    assert ranked <= seconds * shares.ranking + 1 or derived["fine.cases"] == 1
    final = derived["deployment.recipe.iterations"]
    count = derived["references"]
    rounds = 5 / min(devices, 5) + count / min(devices, count)  # a fold each, then the verdict's references on one
    mirrored = cases * 7 * windows * timings.window if modern_recipe(final).mirror else 0  # seven views more
    spent = rounds * (START_SECONDS + evaluation + mirrored + training(final))
    assert spent <= seconds * shares.deployment + 1 or final == FEWEST_ITERATIONS
    assert spent * count / min(devices, count) / rounds <= seconds * VERDICT_SHARE + 1 or final == FEWEST_ITERATIONS
    assert 1 <= count <= 4


@pytest.mark.parametrize(
    ("budget", "devices", "references"), [("hour", 1, 1), ("hour", 2, 2), ("day", 1, 4), ("day", 4, 4)]
)
def test_a_quarter_of_the_time_decides_how_many_references_there_are(
    budget: str, devices: int, references: int
) -> None:
    work = Workload(10, 8, 4, devices, 5 if budget == "day" else 1)
    derived = scheduled(preset(budget), Timings(patch=0.05, window=0.01), work, resolve)
    assert derived["references"] == references


def test_a_large_share_of_the_deployment_leaves_a_verdict_its_quarter() -> None:
    shares = Shares(coarse=0.05, supernet=0.03, ranking=0.02, deployment=0.9)
    config, work = preset("hour").model_copy(update={"shares": shares}), Workload(1, 1, 1, 1)
    timings = Timings(patch=0.05, window=0.0)
    derived = scheduled(config, timings, work, resolve)
    done = config.model_copy(update={"references": derived["references"]})
    deployment = resolve("deployment", derived["deployment.recipe.iterations"])
    done = done.model_copy(update={"deployment": done.deployment.model_copy(update={"recipe": deployment})})
    assert derived["references"] == 1
    assert estimate(done, timings, work)["verdict"] <= 900


def test_without_a_verdict_its_time_goes_to_the_deployed_networks() -> None:
    config, timings, work = preset("hour"), Timings(patch=0.05, window=0.01), Workload(10, 8, 4, devices=1)
    alone = scheduled(config.model_copy(update={"verdict": False}), timings, work, resolve)
    judged = scheduled(config, timings, work, resolve)
    final = "deployment.recipe.iterations"
    assert {name for name in alone if alone[name] != judged[name]} == {final}
    assert alone[final] > 1.9 * judged[final]


@given(patch=st.floats(1e-3, 1.0), folds=st.integers(1, 5), devices=st.integers(1, 4), cases=st.integers(1, 9))
def test_without_a_search_the_folds_have_all_of_the_time(patch: float, folds: int, devices: int, cases: int) -> None:
    config = preset("hour").model_copy(update={"kind": "training", "verdict": False})
    work = Workload(cases, 3.0, 2.0, devices, folds)
    (length,) = scheduled(config, Timings(patch, 0.01), work, resolve).values()

    def spent(iterations: int) -> float:
        recipe = resolve("deployment", iterations)
        views = 8 if recipe.mirror else 1
        evaluation = cases * (3.0 * views * 0.01 + CASE_OVERHEAD)
        return -(-folds // devices) * (START_SECONDS + evaluation + iterations * 2 * patch)

    assert spent(length) <= 0.95 * 3600 + 1e-6 or length == FEWEST_ITERATIONS
    assert spent(length + 1) > 0.95 * 3600 - 1e-6


def test_departures_from_the_paper_are_those_asked_for() -> None:
    assert departures(preset("paper")) == []
    asked = {"coarse.recipe.precision": "bf16", "coarse.recipe.micro_batch": 4, "deployment.recipe.momentum": 0.8}
    assert departures(draft(requested("paper", asked), "paper")) == [
        "coarse.recipe.precision is bf16, not fp32",
        "deployment.recipe.momentum is 0.8, not 0.9",
    ]


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_budget_but_the_papers_has_a_verdict(budget: str) -> None:
    assert preset(budget).verdict == (budget != "paper")


@pytest.mark.parametrize(("rungs", "cases"), [(1, 40), (3, 40), (3, 2), (2, 1)])
def test_pairs_are_those_that_halving_scores(rungs: int, cases: int) -> None:
    """Counted one by one: every rung's candidates on the cases they have not seen, then the audit's on all."""
    fine = preset("day").fine.model_copy(update={"candidates": 100, "rungs": rungs, "audit": 10})
    counts = sorted({-(-cases // 3**below) for below in range(rungs)})
    pairs, seen = 0, 0
    for number, count in enumerate(counts):
        pairs += -(-100 // 3**number) * (count - seen)
        seen = count
    assert ranking_pairs(fine, cases) == pairs + (10 * cases if len(counts) > 1 else 0)
