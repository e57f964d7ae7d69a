"""Budgets: the presets say what the paper says, and hours become counts that fit them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2fnas.data.plan import ChannelPlan, ClassPlan, Plan
from c2fnas.planning.budget import (
    CASE_OVERHEAD,
    START_SECONDS,
    TO_COMPARE,
    TO_DEPLOY,
    Workload,
    coverage,
    estimate,
    network_seconds,
)
from c2fnas.planning.counts import FEWEST_CANDIDATES, FEWEST_CASES, scheduled
from c2fnas.planning.presets import BUDGETS, STAGES, complete_recipe, departures, draft, load_budget, requested
from c2fnas.runs.config import CoarseConfig, DeploymentConfig, FineConfig, RunConfig
from c2fnas.runs.overrides import with_values
from c2fnas.runs.repetition import MIRROR
from c2fnas.runs.timing.allowance import (
    END_SECONDS,
    END_SHARE,
    VERDICT_SHARE,
    affordable_references,
    cost_of_references,
    verdict_allowance,
)
from c2fnas.runs.timing.timings import Timings
from c2fnas.training.recipe import LONG, PaperStage, Recipe, modern_recipe, paper_recipe

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
TIMINGS = st.builds(
    lambda patch, share, augmented, alone: Timings(patch, patch * share, patch * augmented, alone),
    st.floats(1e-3, 1.0),
    st.floats(0.05, 1.0),
    st.floats(0, 2),
    st.floats(0.25, 1),
)
WORK = st.builds(
    lambda cases, windows, devices, folds, training, seen: Workload(
        cases, windows, windows / 2, devices, folds, training, seen
    ),
    st.integers(1, 60),
    st.floats(1, 30),
    st.integers(1, 8),
    st.integers(1, 5),
    st.integers(4, 400),
    st.floats(0.05, 1.0),
)


def resolve(stage: PaperStage, iterations: int) -> Recipe:
    """The modern recipe in a length, with batches of two patches."""
    part = {"name": "modern", "iterations": iterations}
    return complete_recipe(part, stage, PLAN.model_copy(update={"batch_size": 2}), "fp32")


def preset(budget: str) -> RunConfig:
    return draft(load_budget(budget), budget)


def counted(config: RunConfig, values: dict[str, object]) -> RunConfig:
    """The configuration with derived counts in it."""
    recipes = {
        f"{name}.recipe": resolve(stage, values[f"{name}.recipe.iterations"])
        for name, stage in STAGES.items()
        if f"{name}.recipe.iterations" in values
    }
    return with_values(
        config, recipes | {name: value for name, value in values.items() if not name.endswith("iterations")}
    )


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


@pytest.mark.parametrize(("budget", "hours"), [("demo", 1 / 6), ("hour", 1), ("day", 24), ("90m", 1.5), ("3h", 3)])
def test_a_budget_is_a_time(budget: str, hours: float) -> None:
    assert preset(budget).hours == pytest.approx(hours, rel=1e-6)


@pytest.mark.parametrize(("augmentation", "mirror"), [("none", False), ("unmirrored", False), ("strong", True)])
def test_views_are_not_mirrored_where_flips_were_not_trained(augmentation: str, mirror: bool) -> None:
    part = {"name": "modern", "iterations": LONG}
    assert resolve("deployment", LONG).mirror
    asked = complete_recipe(part | {"augmentation": augmentation}, "deployment", PLAN, "fp32")
    assert (asked.augmentation, asked.mirror) == (augmentation, mirror)
    stated = complete_recipe(part | {"augmentation": augmentation, "mirror": True}, "deployment", PLAN, "fp32")
    assert stated.mirror
    drafted = draft(requested("day", {"deployment.recipe.augmentation": augmentation}), "day")
    assert not drafted.deployment.recipe.mirror or mirror


def test_the_modern_recipe_takes_batch_and_foreground_from_the_plan() -> None:
    recipe = complete_recipe({"name": "modern", "iterations": 6000}, "coarse", PLAN, "bf16")
    assert (recipe.batch_size, recipe.foreground_rate, recipe.precision) == (4, 0.5, "bf16")
    assert recipe.momentum == modern_recipe(6000).momentum


@pytest.mark.parametrize(("cases", "mirrored"), [(32, True), (160, False), (None, False)])
def test_a_modern_recipe_knows_how_often_it_sees_each_case(cases: int | None, mirrored: bool) -> None:
    """1,700 iterations of two patches are 106 passes over 32 cases, and 21 over 160."""
    plan = PLAN.model_copy(update={"batch_size": 2})
    part = {"name": "modern", "iterations": 1700}
    assert complete_recipe(part, "deployment", plan, "fp32", cases).mirror == mirrored
    assert not complete_recipe(part | {"mirror": False}, "deployment", plan, "fp32", cases).mirror


@given(timings=TIMINGS, work=WORK, hours=st.floats(0.1, 2000), verdict=st.booleans(), spent=st.floats(0, 0.5))
def test_what_is_scheduled_fits_what_is_left(
    timings: Timings, work: Workload, hours: float, verdict: bool, spent: float
) -> None:
    """Counted again, stage by stage; unless a single iteration of the final network is more than there is."""
    config = preset("day").model_copy(update={"hours": hours, "verdict": verdict})
    budget, left = 3600 * hours, 3600 * hours * (1 - spent)
    values = scheduled(config, timings, work, resolve, left)
    planned = counted(config, values)
    together = sum(estimate(planned, timings, work, left).values())
    least = work.folds * network_seconds(resolve("deployment", 1), timings, work, "deployment")
    assert together <= left + 1e-6 or least > left - END_SHARE * budget
    if planned.searches:
        assert planned.coarse.evaluations >= FEWEST_CANDIDATES
        views = planned.coarse.recipe.iterations * 2 * work.coverage
        assert views >= max(TO_COMPARE.views, TO_COMPARE.passes * work.training_cases) - 1e-6
        views = planned.deployment.recipe.iterations * 2 * work.coverage
        assert views >= max(TO_DEPLOY.views, TO_DEPLOY.passes * work.training_cases) - 1e-6
        assert sum(estimate(planned, timings, work, left).values()) <= left


@given(timings=TIMINGS, work=WORK)
def test_the_time_is_used(timings: Timings, work: Workload) -> None:
    """Without a verdict, and where nothing is searched: the final network takes all that the end does not need."""
    config = preset("demo")
    left = 3600 * config.hours
    planned = counted(config, scheduled(config, timings, work, resolve, left))
    if planned.searches:
        return
    own = planned.deployment.recipe
    longer = resolve("deployment", own.iterations + 1).model_copy(update={"mirror": own.mirror})
    rounds = -(-work.folds // work.devices)
    kept = min(END_SHARE * left, END_SECONDS)
    assert rounds * network_seconds(longer, timings, work, "deployment") > left - kept - 1e-6


@pytest.mark.parametrize("windows", [1.0, 8.0, 64.0])
@pytest.mark.parametrize("hours", [0.4, 1, 5, 8, 12])
def test_time_is_used_where_mirrored_views_do_not_fit(windows: float, hours: float) -> None:
    """From some length on trainings are mirrored, and validated over eight views: what these take may not be there."""
    config = preset("day").model_copy(update={"hours": hours, "kind": "training", "verdict": False})
    work, timings = Workload(42, windows, windows, 1, training_cases=168), Timings(0.5, 0.15)
    values = scheduled(config, timings, work, resolve, 3600 * hours)
    planned = counted(config, values)
    (seconds,) = estimate(planned, timings, work, 3600 * hours).values()
    if seconds <= 3600 * hours:  # else not even one iteration fits
        assert seconds > 0.95 * 3600 * hours
    mirrored = resolve("deployment", planned.deployment.recipe.iterations)
    assert planned.deployment.recipe.mirror in (mirrored.mirror, False)
    if not planned.deployment.recipe.mirror and mirrored.mirror:
        with_views = network_seconds(mirrored, timings, work, "deployment")
        assert with_views > 3600 * hours * (1 - END_SHARE)
    fixed = scheduled(config, timings, work, resolve, 3600 * hours, free=lambda field: field != MIRROR)
    assert MIRROR not in fixed


def test_the_final_network_comes_first() -> None:
    """Enough for it and nothing more: no search. Four times as much, and with a quarter it is as well trained."""
    config, timings, work = preset("hour"), Timings(patch=0.1, window=0.01), Workload(10, 8, 4, 1, 1, 40)
    enough = network_seconds(resolve("deployment", TO_DEPLOY.iterations(work, 2)), timings, work, "deployment")
    none = scheduled(config, timings, work, resolve, 0)
    assert (none["coarse.evaluations"], none["fine.candidates"]) == (0, 0)
    for times, searched in ((1.2, False), (3, False), (4.6, True)):
        budget = times * enough
        longer = config.model_copy(update={"hours": budget / 3600})
        values = scheduled(longer, timings, work, resolve, budget)
        assert bool(values["coarse.evaluations"]) == searched
        assert 2 * values["deployment.recipe.iterations"] * work.coverage >= TO_DEPLOY.views * (0.95 if searched else 1)


def test_a_search_has_fewer_candidates_where_the_time_is_short() -> None:
    """Their validation is dear: ten cases of forty windows for a candidate of three hundred views."""
    config, work = preset("day"), Workload(10, 40, 20, 1, 1, 40)
    counts = []
    for hours in (2, 2.5, 3, 12):
        longer = config.model_copy(update={"hours": float(hours)})
        counts.append(scheduled(longer, Timings(0.15, 0.05), work, resolve, 3600 * hours)["coarse.evaluations"])
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] == config.coarse.evaluations


def test_what_a_user_has_set_is_not_changed() -> None:
    """Asked for, a search is made whatever it can show."""
    config, work = preset("demo"), Workload(10, 8, 4, 1, 1, 40)
    fixed = {"coarse.evaluations", "fine.candidates"}
    values = scheduled(config, Timings(0.2, 0.1), work, resolve, 600, free=lambda field: field not in fixed)
    assert not fixed & values.keys()
    assert {f"{name}.recipe.iterations" for name in STAGES} <= values.keys()


def test_later_stages_have_what_earlier_ones_left() -> None:
    """Half of the time at the same stage is about half as long; a stage that is over has no counts any more."""
    config, work, timings = preset("day"), Workload(10, 4, 2, 1, 1, 40), Timings(0.05, 0.01)
    whole = scheduled(config, timings, work, resolve, 80_000, "ranking")
    assert whole.keys() == {"fine.candidates", "fine.cases", "deployment.recipe.iterations"}
    last = scheduled(config, timings, work, resolve, 30_000, "deployment")
    assert last.keys() == {"deployment.recipe.iterations"}
    half = scheduled(config, timings, work, resolve, 15_000, "deployment")
    name = "deployment.recipe.iterations"
    assert half[name] < last[name] < 3 * half[name]


@given(hours=st.floats(0.1, 200), left=st.floats(0, 1))
def test_a_verdict_takes_a_quarter_at_most(hours: float, left: float) -> None:
    config = preset("day").model_copy(update={"hours": hours})
    seconds = verdict_allowance(config, 3600 * hours * left)
    assert 0 <= seconds <= VERDICT_SHARE * 3600 * hours
    assert seconds <= 3600 * hours * left


@pytest.mark.parametrize(
    ("budget", "devices", "references"), [("hour", 1, 1), ("hour", 2, 2), ("2d", 1, 4), ("2d", 4, 4)]
)
def test_a_quarter_of_the_time_decides_how_many_references_there_are(
    budget: str, devices: int, references: int
) -> None:
    """As they are forecast before the run, and found at its end: final networks and references take half at most."""
    config, timings = preset(budget), Timings(patch=0.002, window=0.001)
    work = Workload(10, 8, 4, devices, 5 if budget == "2d" else 1, training_cases=40)
    whole = 3600 * config.hours
    planned = counted(config, scheduled(config, timings, work, resolve, whole))
    assert planned.searches
    seconds = estimate(planned, timings, work, whole)
    one = network_seconds(planned.deployment.recipe, timings, work, "deployment")
    assert seconds["verdict"] == pytest.approx(-(-references // devices) * one)
    assert seconds["verdict"] <= VERDICT_SHARE * whole
    assert 0.45 * whole <= seconds["deployment"] + seconds["verdict"] <= 0.5 * whole
    allowance = verdict_allowance(config, whole - sum(seconds.values()) + seconds["verdict"])
    cost = cost_of_references(one, work.networks, devices)
    assert affordable_references(config.references, allowance, cost) == references


def test_without_a_verdict_its_time_goes_to_the_deployed_networks() -> None:
    config, timings, work = preset("hour"), Timings(0.002, 0.001), Workload(10, 8, 4, 1, 1, 40)
    alone = scheduled(config.model_copy(update={"verdict": False}), timings, work, resolve, 3600)
    judged = scheduled(config, timings, work, resolve, 3600)
    final = "deployment.recipe.iterations"
    assert judged["coarse.evaluations"] == alone["coarse.evaluations"] > 0
    assert alone[final] > 1.9 * judged[final]


@pytest.mark.parametrize("verdict", [True, False])
def test_what_the_coarse_stage_has_saved_goes_to_the_final_network(verdict: bool) -> None:
    """Ten minutes that came back make the final network longer by them, or by a half where references are as long."""
    config = preset("hour").model_copy(update={"verdict": verdict})
    timings, work = Timings(0.01, 0.001), Workload(10, 8, 4, 1, 1, 40)
    final, fine = "deployment.recipe.iterations", "fine.recipe.iterations"
    without = scheduled(config, timings, work, resolve, 2400, "super-network")
    saved = scheduled(config, timings, work, resolve, 3000, "super-network", saved=600)
    assert saved[fine] == pytest.approx(without[fine], rel=0.01)
    patches = 600 / (2 if verdict else 1) / (timings.patch + timings.augmentation)
    assert saved[final] - without[final] == pytest.approx(patches / 2, rel=0.05)


def test_a_network_of_every_case_alone_is_not_judged() -> None:
    """It takes the time of a verdict; beside a fold it is one network more."""
    config, timings = preset("hour"), Timings(0.002, 0.001)
    work = Workload(10, 8, 4, 1, 0, 40, every_case=True)
    values = scheduled(config, timings, work, resolve, 3600)
    assert values == scheduled(
        config.model_copy(update={"verdict": False}), timings, replace(work, folds=1, every_case=False), resolve, 3600
    )
    assert "verdict" not in estimate(counted(config, values), timings, work, 3600)
    both = replace(work, folds=1)
    planned = counted(config, scheduled(config, timings, both, resolve, 3600))
    seconds = estimate(planned, timings, both, 3600)
    assert seconds["deployment"] == pytest.approx(seconds["verdict"]), "two networks, two references"


@given(timings=TIMINGS, folds=st.integers(1, 5), devices=st.integers(1, 4), cases=st.integers(1, 9))
def test_without_a_search_the_folds_have_all_of_the_time(
    timings: Timings, folds: int, devices: int, cases: int
) -> None:
    config = preset("hour").model_copy(update={"kind": "training", "verdict": False})
    work = Workload(cases, 3.0, 2.0, devices, folds)
    found = scheduled(config, timings, work, resolve, 3600)
    length, views_fit = found["deployment.recipe.iterations"], MIRROR not in found
    timings = timings.beside(folds, devices)

    def spent(iterations: int) -> float:
        recipe = resolve("deployment", iterations)
        views = 8 if recipe.mirror and views_fit else 1
        evaluation = cases * (3.0 * views * timings.window + CASE_OVERHEAD)
        patch = timings.patch + (timings.augmentation if recipe.warped else 0)
        return -(-folds // devices) * (START_SECONDS + evaluation + iterations * 2 * patch)

    assert spent(length) <= (1 - END_SHARE) * 3600 + 1e-6 or length == 1
    assert spent(length + 1) > (1 - END_SHARE) * 3600 - 1e-6


@given(
    patch=st.tuples(*[st.integers(1, 9)] * 3),
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    share=st.tuples(*[st.floats(0.1, 1)] * 3),
    rate=st.floats(0, 1),
)
def test_a_patch_shows_no_more_than_the_whole(patch, shape, share, rate) -> None:
    box = tuple(side * part for side, part in zip(shape, share, strict=True))
    assert 0 < coverage(patch, shape, box, rate) <= 1
    assert coverage(shape, shape, box, rate) == pytest.approx(1)


def test_departures_from_the_paper_are_those_asked_for() -> None:
    assert departures(preset("paper")) == []
    asked = {"coarse.recipe.precision": "bf16", "coarse.recipe.micro_batch": 4, "deployment.recipe.momentum": 0.8}
    assert departures(draft(requested("paper", asked), "paper")) == [
        "coarse.recipe.precision is bf16, not fp32",
        "deployment.recipe.momentum is 0.8, not 0.9",
    ]
    assert departures(draft(requested("paper", {"folds.by": "random"}), "paper")) == [
        "folds.by is random, not sequential"
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
    assert fine.pairs(cases) == pairs + (10 * cases if len(counts) > 1 else 0)


QUICK, CASES = Timings(0.02, 0.01), Workload(6, 8.0, 4.0, 1, 1, 24)


def with_set(budget: str, **values: int) -> tuple[RunConfig, dict[str, object]]:
    """The configuration of a budget in which a user has set values, and what is derived."""
    given = {name.replace("__", "."): value for name, value in values.items()}
    config = preset(budget)
    lengths = {name for name in given if name.endswith("iterations")}
    recipes = {
        name.removesuffix(".iterations"): resolve(STAGES[name.partition(".")[0]], given[name]) for name in lengths
    }
    config = with_values(config, recipes | {name: given[name] for name in given.keys() - lengths})
    hours = 3600 * config.hours
    found = scheduled(config, QUICK, CASES, resolve, hours, free=lambda name: name not in given)
    return config, found


@pytest.mark.parametrize(
    ("budget", "values"),
    [
        ("hour", {"coarse__recipe__iterations": 5000}),
        ("hour", {"coarse__recipe__iterations": 500}),
        ("hour", {"fine__recipe__iterations": 3000}),
        ("hour", {"deployment__recipe__iterations": 50}),
        ("hour", {"deployment__recipe__iterations": 9000}),
        ("demo", {"fine__candidates": 50}),
        ("demo", {"coarse__evaluations": 4}),
    ],
)
def test_values_that_are_set_are_paid_first(budget: str, values: dict[str, int]) -> None:
    """Whatever is set, all stages together take no more than the budget."""
    config, found = with_set(budget, **values)
    assert sum(estimate(counted(config, found), QUICK, CASES, 3600 * config.hours).values()) <= 3600 * config.hours


def test_a_length_that_is_set_is_the_cost_of_a_candidate() -> None:
    """Fewer of them are tried, or none, in the time that all would have."""
    free, set_ = (with_set("hour", **given)[1] for given in ({}, {"coarse__recipe__iterations": 5000}))
    assert 0 <= set_["coarse.evaluations"] < free["coarse.evaluations"]
    assert "coarse.recipe.iterations" not in set_


def test_what_a_short_final_network_leaves_goes_to_the_search() -> None:
    free, set_ = (with_set("hour", **given)[1] for given in ({}, {"deployment__recipe__iterations": 50}))
    assert set_["coarse.recipe.iterations"] > 1.5 * free["coarse.recipe.iterations"]


def test_asking_for_no_topologies_does_not_ask_for_operations() -> None:
    """In a time that does not pay for a well trained final network it has everything."""
    _, found = with_set("demo", coarse__evaluations=0)
    assert found["fine.candidates"] == 0
    assert found["deployment.recipe.iterations"] == with_set("demo")[1]["deployment.recipe.iterations"]


def test_validations_on_the_way_take_their_time() -> None:
    """Ten of them, without mirrored views."""
    recipe = resolve("deployment", 1000)
    more = replace(CASES, validate_every=100)
    seconds = [network_seconds(recipe, QUICK, work, "deployment") for work in (CASES, more)]
    assert seconds[1] - seconds[0] == pytest.approx(10 * 6 * (8 * QUICK.window + CASE_OVERHEAD))


@pytest.mark.parametrize("cases", [FEWEST_CASES - 1, FEWEST_CASES])
def test_paths_are_ranked_on_three_cases_at_least(cases: int) -> None:
    found = scheduled(preset("hour"), QUICK, replace(CASES, validation_cases=cases), resolve, 3600)
    assert bool(found["fine.candidates"]) == (cases >= FEWEST_CASES)


@pytest.mark.parametrize("left", [-100.0, 0.0, 20.0])
def test_where_the_time_is_spent_the_final_network_has_a_twentieth(left: float) -> None:
    (length,) = scheduled(preset("hour"), QUICK, CASES, resolve, left, "deployment").values()
    seconds = network_seconds(resolve("deployment", length), QUICK, CASES, "deployment")
    assert 0.02 * 3600 < seconds <= 0.05 * 3600
