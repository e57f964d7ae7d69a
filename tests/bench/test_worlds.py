"""Worlds drawn from a table, and searches that choose on them by several rules."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from c2fnas.bench import Budget, Entry, Row, TopologyTable, compare, difference, draw_worlds, rank_agreement, ratio
from c2fnas.bench.simulation import simulate
from c2fnas.errors import UserError
from c2fnas.search.clusters import cluster_topologies
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

TOPOLOGIES = SearchSpace(cells=8, downsamplings=2).topologies()
CLUSTERS = cluster_topologies(TOPOLOGIES, clusters=5)
SLOPE = np.array([0.01, 0, 0, -0.01, 0, 0, 0.005, 0])


def effect(topology: Topology) -> float:
    return 0.8 + float(SLOPE @ np.array(topology.code))


def table_of(topologies: Sequence[Topology], *, noise: float, seeds: int = 1, failing: int = 0) -> TopologyTable:
    rng = np.random.default_rng(0)
    rows = []
    for place, topology in enumerate(topologies):
        for seed in range(seeds):
            dice = None if place < failing else effect(topology) + noise * float(rng.standard_normal())
            rungs = {} if dice is None else {50: dice - 0.2}
            rows.append(Row(topology, 0, seed, dice, rungs, {}, 10.0 + topology.code[0], 1000, 5000))
    return TopologyTable(tuple(rows), {"setting": {"iterations": 100}}, Path("table.csv"))


def test_worlds_hold_the_whole_space_and_what_the_table_knows() -> None:
    """Of a table with little noise the code's effect comes back in every world, for topologies that it lacks too."""
    worlds = draw_worlds(table_of(TOPOLOGIES[::2], noise=0.001, seeds=2), tables=3, draws=2)
    assert len(worlds) == 6
    truth = [effect(topology) for topology in TOPOLOGIES]
    for world in worlds:
        assert set(world) == set(TOPOLOGIES)
        assert np.corrcoef(truth, [world[topology].score for topology in TOPOLOGIES])[0, 1] > 0.9
        for topology, entry in world.items():
            assert entry.cost == pytest.approx(10 + topology.code[0], rel=0.1)
            ((share, dice),) = entry.rungs
            assert share == 0.5
            assert dice == pytest.approx((entry.score or 0) - 0.2)


def test_a_rung_that_could_not_be_scored_is_no_dice_of_zero() -> None:
    """Else early stopping would stop good topologies in every world."""
    table = table_of(TOPOLOGIES[:40], noise=0.001)
    rows = (replace(table.rows[0], rungs={}), *table.rows[1:])
    (world,) = draw_worlds(TopologyTable(rows, table.setting, table.path), tables=1, draws=1)
    assert all(dice == pytest.approx((entry.score or 0) - 0.2) for entry in world.values() for _, dice in entry.rungs)
    bare = tuple(replace(row, rungs={}) for row in table.rows)
    (world,) = draw_worlds(TopologyTable(bare, table.setting, table.path), tables=1, draws=1)
    assert not any(entry.rungs for entry in world.values())


def test_a_training_that_failed_says_nothing_of_the_time_that_one_takes() -> None:
    table = table_of(TOPOLOGIES[::2], noise=0.001, failing=3)
    rows = [row if row.dice is not None else replace(row, seconds=0.0) for row in table.rows]
    (world,) = draw_worlds(TopologyTable(tuple(rows), table.setting, table.path), tables=1, draws=1)
    for topology, entry in world.items():
        assert entry.cost == pytest.approx(10 + topology.code[0], rel=0.1)


def test_a_topology_costs_what_its_ended_trainings_took() -> None:
    rows = table_of(TOPOLOGIES[:1], noise=0.001, seeds=2).rows
    cut = (rows[0], replace(rows[1], dice=None, seconds=0.1))
    assert (
        TopologyTable(cut, {"setting": {"iterations": 100}}, Path("table.csv"))[TOPOLOGIES[0]].seconds
        == rows[0].seconds
    )


def test_noise_of_seeds_is_no_truth() -> None:
    """Topologies alike, seeds apart by 0.02: a world's topologies differ by far less than the table's trainings."""
    rng = np.random.default_rng(1)
    table = table_of(TOPOLOGIES[::2], noise=0.0, seeds=3)
    flat = [Row(r.topology, 0, r.seed, 0.8 + 0.02 * rng.standard_normal(), {}, {}, 10.0, 1, 1) for r in table.rows]
    worlds = draw_worlds(TopologyTable(tuple(flat), table.setting, table.path), tables=5, draws=2)
    spread = [np.std([entry.score or 0 for entry in world.values()]) for world in worlds]
    assert np.mean(spread) < 0.01


def test_worlds_fail_as_often_as_the_table() -> None:
    worlds = draw_worlds(table_of(TOPOLOGIES, noise=0.001, failing=35), tables=2, draws=10)
    share = np.mean([entry.score is None for world in worlds for entry in world.values()])
    assert 0.4 < share < 0.6


@pytest.mark.parametrize("text", ["random+luck", "random@0", "random@many", "random+cheapest"])
def test_an_entry_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=text.replace("+", r"\+")):
        Entry.parse(text)


def test_the_oracle_is_the_least_that_a_rule_can_reach_and_the_model_beats_the_paper() -> None:
    """Where codes tell all, ten tables of one world each; seeds apart by as much as topologies."""
    worlds = draw_worlds(table_of(TOPOLOGIES, noise=0.002), tables=10, draws=1, truth="linear")
    budget = Budget(16, workers=4, repetitions=40, slow_repetitions=10, noise=0.01, tables=10)
    entries = ["algorithm1", "random", "random+oracle", "random+posterior", "bayesian", "bayesian@8"]
    found = {each.name: each for each in compare(worlds, CLUSTERS, entries, budget).contenders}
    assert found["random+oracle"].regret[0] < found["random"].regret[0]
    assert found["random+oracle"].regret[0] <= found["random+posterior"].regret[0] + 1e-12
    assert difference(found["bayesian"], found["algorithm1"])[0] < 0
    assert ratio(found["bayesian"], found["algorithm1"])[0] < 1
    assert found["bayesian@8"].cost.mean() < 0.6 * found["bayesian"].cost.mean()
    assert (found["random"].repetitions, found["random"].final.shape) == (40, (10, 4))


def test_a_runs_own_rule_takes_cheaper_networks_for_some_regret() -> None:
    """Seconds rise with the first entry of the code, Dice by nothing: within the margin the cheapest is taken."""
    flat = [Row(t, 0, 0, 0.8, {}, {}, 10.0 + 5 * t.code[0], 1000, 5000) for t in TOPOLOGIES]
    worlds = draw_worlds(TopologyTable(tuple(flat), {"setting": {"iterations": 100}}, Path("t.csv")), tables=2, draws=2)
    budget = Budget(16, workers=2, repetitions=4, slow_repetitions=4, noise=0.001, tables=2)
    entries = ["random", "bayesian", "bayesian+cheapest"]
    plain, best, cheapest = compare(worlds, CLUSTERS, entries, budget).contenders
    assert cheapest.price.mean() < min(best.price.mean(), plain.price.mean())
    assert cheapest.cost.mean() < best.cost.mean(), "where nothing is left to win it ends early"
    assert cheapest.final.max() < 0.02


def test_the_right_prior_helps_a_search() -> None:
    """Where codes tell all and noise is as large as what they tell, three networks with the truth's own guess.

    Of a hundred searches the mean difference is five standard errors: by another seed one in a million would fail.
    """
    table = table_of(TOPOLOGIES, noise=0.0)
    worlds = draw_worlds(table, tables=20, draws=1, truth="linear")
    budget = Budget(3, workers=2, repetitions=100, slow_repetitions=100, noise=0.03, tables=20)
    (without,) = compare(worlds, CLUSTERS, ["bayesian"], budget).contenders
    guess = table.predicted(TOPOLOGIES)
    (with_it,) = compare(worlds, CLUSTERS, ["bayesian"], budget, guess=guess).contenders
    assert with_it.final.mean() < without.final.mean()


def test_agreement_of_two_tables_is_that_of_the_topologies_they_share() -> None:
    short = {topology: effect(topology) for topology in TOPOLOGIES[:40]}
    longer = {topology: 0.5 + effect(topology) / 4 for topology in TOPOLOGIES[20:]}
    same = rank_agreement(short, longer, resamples=50)
    assert same.value == pytest.approx(1.0)
    rng = np.random.default_rng(2)
    other = {topology: float(rng.uniform()) for topology in TOPOLOGIES}
    none = rank_agreement(other, {topology: float(rng.uniform()) for topology in TOPOLOGIES}, resamples=200)
    assert none.low < 0 < none.high
    with pytest.raises(ValueError, match="share 0 topologies"):
        rank_agreement(dict(list(short.items())[:10]), longer)


def test_a_choice_by_the_posterior_is_made_from_the_first_network_on() -> None:
    worlds = draw_worlds(table_of(TOPOLOGIES, noise=0.002), tables=2, draws=1)
    budget = Budget(8, workers=2, repetitions=4, slow_repetitions=4, noise=0.0, tables=2)
    found, *_ = compare(worlds, CLUSTERS, ["random+posterior"], budget).contenders
    assert found.by_networks.mean[0] < 0.5


def test_tables_are_as_many_as_every_sampler_has_five_searches_of() -> None:
    table = table_of(TOPOLOGIES[::2], noise=0.002)
    found = simulate(table, ["random", "bayesian@8"], evaluations=10, repetitions=60, slow_repetitions=15)
    assert found.budget.tables == 3
    assert found.against_algorithm1 == {}
    mean, low, high = found.less_than_random["bayesian@8"]
    assert low < mean < high
    worlds = draw_worlds(table, tables=4, draws=1)
    with pytest.raises(ValueError, match="2 searches are fewer than 4 tables"):
        compare(worlds, CLUSTERS, ["bayesian"], Budget(8, repetitions=8, slow_repetitions=2, tables=4))


def test_a_prior_of_another_space_is_refused() -> None:
    table = table_of(TOPOLOGIES[::2], noise=0.002)
    with pytest.raises(UserError, match=r"hippocampus\.csv: shares no topology with the space of table\.csv"):
        simulate(table, ["random"], prior=TopologyTable.shipped(), repetitions=4)
    own = simulate(table, ["bayesian@8"], prior=table, evaluations=8, slow_repetitions=4)
    assert "The model begins with table.csv." in own.text()


def test_more_networks_than_a_search_has_are_refused() -> None:
    with pytest.raises(UserError, match="random@80: a search here has 12 networks"):
        simulate(TopologyTable.shipped(), ["random@80"], evaluations=12, repetitions=1)
