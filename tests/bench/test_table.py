"""Tables of topologies: read as written, queried, faults named, their statistics, and searches compared on them."""

import csv
import json
import math
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from c2fnas.bench import (
    Budget,
    Row,
    TopologyTable,
    UnknownTopology,
    cluster_share,
    compare,
    difference,
    distance_correlation,
    planned_trainings,
    read_table,
    seed_noise,
    simulate,
    statistics,
    write_table,
)
from c2fnas.bench.selection import Training
from c2fnas.errors import UserError
from c2fnas.search.clusters import cluster_topologies
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.space.search_space import SearchSpace
from c2fnas.space.topology import Topology

TOPOLOGIES = SearchSpace(cells=8, downsamplings=2).topologies()
CLUSTERS = cluster_topologies(TOPOLOGIES, clusters=5)


def row(topology: Topology, dice: float | None, cluster: int = 0, seed: int = 0, seconds: float = 10.0) -> Row:
    rungs = {} if dice is None else {25: dice / 4, 50: dice / 2}
    per_class = {} if dice is None else {"organ": dice}
    return Row(topology, cluster, seed, dice, rungs, per_class, seconds, parameters=1000, macs=5000)


def rows_of(dice: dict[Topology, float]) -> list[Row]:
    return [row(t, dice[t], cluster.index) for cluster in CLUSTERS for t in cluster.topologies if t in dice]


def table_of(rows: Sequence[Row], iterations: int = 100) -> TopologyTable:
    return TopologyTable(tuple(rows), {"setting": {"iterations": iterations}}, Path("table.csv"))


def test_read_as_written(tmp_path: Path) -> None:
    rows = (row(TOPOLOGIES[0], 0.5), row(TOPOLOGIES[0], 0.25, seed=1), row(TOPOLOGIES[1], None, cluster=2))
    write_table(tmp_path / "table.csv", rows)
    assert read_table(tmp_path / "table.csv") == rows


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("1 1,0,0,0.5,1,1,1", "line 2"),  # no topology
        ("0 1 1 2 2 1 0 0,0,0,1.5,1,1,1", "within \\[0, 1\\]"),
        ("0 1 1 2 2 1 0 0,0,zero,0.5,1,1,1", "line 2"),
        ("0 1 1 2 2 1 0 0,0,0,0.5", "line 2"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, named: str) -> None:
    (tmp_path / "table.csv").write_text(f"code,cluster,seed,dice,parameters,macs,seconds\n{line}\n")
    with pytest.raises(UserError, match=named):
        read_table(tmp_path / "table.csv")


def test_two_lines_on_one_training_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", [row(TOPOLOGIES[0], 0.5), row(TOPOLOGIES[0], 0.6)])
    with pytest.raises(UserError, match="line 3: another line has this topology and seed"):
        read_table(tmp_path / "table.csv")


def test_seeds_are_averaged_and_their_spread_is_the_noise() -> None:
    rows = [row(TOPOLOGIES[0], 0.4), row(TOPOLOGIES[0], 0.6, seed=1), row(TOPOLOGIES[1], None), row(TOPOLOGIES[2], 0.3)]
    table = table_of(rows).measurements()
    first = table[TOPOLOGIES[0]]
    assert first.score == pytest.approx(0.5)
    assert np.array(first.rungs) == pytest.approx(np.array([[0.25, 0.125], [0.5, 0.25]]))
    assert table[TOPOLOGIES[1]].score is None
    assert seed_noise(rows) == pytest.approx(math.sqrt(0.02))
    assert seed_noise(rows[2:]) is None


def test_clusters_are_those_of_the_whole_space() -> None:
    dice = dict.fromkeys(TOPOLOGIES[::3], 0.5)
    for cluster in table_of(rows_of(dice)).clusters:
        assert set(cluster.topologies) <= set(CLUSTERS[cluster.index].topologies)


def test_correlation_agrees_with_scipy_and_is_one_where_distance_decides() -> None:
    rng = np.random.default_rng(0)
    scores = {topology: float(rng.uniform()) for topology in TOPOLOGIES[:20]}
    codes = np.array([topology.code for topology in scores])
    pairs = np.triu_indices(20, 1)
    distance = np.sqrt(((codes[pairs[0]] - codes[pairs[1]]) ** 2).sum(1))
    dice = np.array(list(scores.values()))
    expected = spearmanr(distance, np.abs(dice[pairs[0]] - dice[pairs[1]])).statistic
    assert distance_correlation(scores, resamples=20).value == pytest.approx(expected)
    one, other, third = next(
        three
        for three in permutations(TOPOLOGIES[:6], 3)
        if three[0].distance(three[1]) < three[1].distance(three[2]) < three[0].distance(three[2])
    )
    assert distance_correlation({one: 0.5, other: 0.51, third: 0.53}, resamples=1).value == pytest.approx(1.0)


def test_copies_of_a_topology_are_no_pair_of_a_resampled_table() -> None:
    """Five draws of four, two of them the same: nine of ten pairs are left, two of each with the copied one."""
    rng, drawn = np.random.default_rng(7), np.array([3, 0, 3, 1, 2])
    distance, difference = (each + each.T for each in rng.uniform(size=(2, 4, 4)))
    pairs = [(3, 0), (3, 1), (3, 2), (0, 3), (0, 1), (0, 2), (3, 1), (3, 2), (1, 2)]
    expected = spearmanr(*([table[pair] for pair in pairs] for table in (distance, difference))).statistic
    own = np.ix_(drawn, drawn)
    found = statistics._spearman(distance[own], difference[own], drawn)
    assert found == pytest.approx(expected)
    assert found != pytest.approx(statistics._spearman(distance[own], difference[own]))


def test_correlation_of_nothing_covers_zero_and_of_something_does_not() -> None:
    rng = np.random.default_rng(1)
    nothing = distance_correlation({t: float(rng.uniform()) for t in TOPOLOGIES}, resamples=200)
    assert nothing.low < 0 < nothing.high
    something = distance_correlation({t: 0.1 * sum(t.code[:4]) for t in TOPOLOGIES}, resamples=200)
    assert 0.2 < something.low < something.value < something.high <= 1
    assert something.p_value < 0.01


@pytest.mark.parametrize("count", [4, 5, 6])
def test_few_topologies_have_a_wide_interval(count: int) -> None:
    """Of so few, some draws of the bootstrap are one topology alone, of which there are no pairs."""
    scores = {topology: 0.1 * number for number, topology in enumerate(TOPOLOGIES[:count])}
    found = distance_correlation(scores, resamples=2000)
    assert -1 <= found.low <= found.high <= 1


def test_permutations_reject_as_often_as_they_claim() -> None:
    """Of 100 tables without structure about 5 have p <= 0.05, and 50 p <= 0.5: give or take 5 standard errors."""
    rng = np.random.default_rng(2)
    found = [
        cluster_share({t: float(rng.uniform()) for t in TOPOLOGIES}, CLUSTERS, resamples=99, seed=seed).p_value
        for seed in range(100)
    ]
    assert sum(p <= 0.05 for p in found) < 16
    assert 25 < sum(p <= 0.5 for p in found) < 75


def test_the_share_between_clusters_is_all_or_nothing() -> None:
    by_cluster = {t: 0.1 + cluster.index / 10 for cluster in CLUSTERS for t in cluster.topologies}
    assert cluster_share(by_cluster, CLUSTERS, resamples=50).value == pytest.approx(1.0)
    rng = np.random.default_rng(3)
    assert abs(cluster_share({t: float(rng.uniform()) for t in TOPOLOGIES}, CLUSTERS, resamples=50).value) < 0.2
    told = {topology: dice + float(rng.uniform(0, 0.3)) for topology, dice in by_cluster.items()}
    found = cluster_share(told, CLUSTERS, resamples=50)
    assert 0.2 < found.low < found.value < found.high < 0.95
    assert found.p_value == 1 / 51, "no permutation tells as much"


def test_algorithm_1_beats_random_where_clusters_tell_and_not_where_they_do_not() -> None:
    """The verdict that `c2fnas simulate` gives, on tables whose truth is known; both with intervals of 95 %."""
    rng = np.random.default_rng(4)
    telling = {t: 0.1 + 0.15 * c.index + float(rng.uniform(0, 0.05)) for c in CLUSTERS for t in c.topologies}
    blind = {t: float(rng.uniform()) for t in TOPOLOGIES}
    budget = Budget(evaluations=20, workers=4, repetitions=200)
    verdicts = {}
    for name, dice in (("telling", telling), ("blind", blind)):
        rows = rows_of(dice)
        found = compare([table_of(rows).measurements()], table_of(rows).clusters, ["algorithm1", "random"], budget)
        plain = {each.name: each for each in found.contenders if not each.early_stopping}
        verdicts[name] = difference(plain["algorithm1"], plain["random"])
    assert verdicts["telling"][2] < 0
    assert verdicts["blind"][0] == pytest.approx(0, abs=0.02)


def test_early_stopping_costs_less_and_every_curve_falls() -> None:
    rng = np.random.default_rng(5)
    rows = rows_of({t: float(rng.uniform(0.2, 0.9)) for t in TOPOLOGIES})
    found = compare(
        [table_of(rows).measurements()], table_of(rows).clusters, ["random"], Budget(12, workers=2, repetitions=50)
    )
    whole, early = found.contenders
    assert (whole.name, early.name) == ("random", "random + early stopping")
    assert early.cost.mean() < whole.cost.mean() == pytest.approx(120)
    for each in found.contenders:
        for band in (each.by_networks, each.by_cost):
            assert (np.diff(band.mean) <= 1e-12).all()
            assert (band.low <= band.mean + 1e-12).all()
            assert (band.mean <= band.high + 1e-12).all()


def test_the_plan_is_balanced_and_a_larger_one_holds_it() -> None:
    space = SearchSpace()
    plan = planned_trainings(space, per_cluster=12)
    clusters = cluster_topologies(space.topologies(), clusters=8, seed=0)
    assert len(plan) == len(set(plan)) == 96 + 2 * 16
    for cluster in clusters:
        own = {topology for index, topology, _ in plan if index == cluster.index}
        assert len(own) == 12
        assert own <= set(cluster.topologies)
    assert len({topology for _, topology, seed in plan if seed == 2}) == 16
    assert set(plan) < set(planned_trainings(space, per_cluster=20))
    everything = planned_trainings(space, per_cluster=924, seeds=1)
    assert len(everything) == 924
    for cut in range(8, 97, 8):
        counts = [sum(index == cluster for index, _, seed in plan[:cut] if seed == 0) for cluster in range(8)]
        assert max(counts) - min(counts) <= 1


def test_a_query_tells_mean_and_spread_over_seeds_or_one_training() -> None:
    first, second = row(TOPOLOGIES[0], 0.4), row(TOPOLOGIES[0], 0.6, seed=1, seconds=20.0)
    table = table_of([first, second, row(TOPOLOGIES[1], None), row(TOPOLOGIES[0], None, seed=2, seconds=30.0)])
    both = table.query(TOPOLOGIES[0])
    assert both.dice == pytest.approx(0.5)
    assert both.spread == pytest.approx(math.sqrt(0.02))
    assert both.rungs == pytest.approx({25: 0.125, 50: 0.25})
    assert both.per_class == pytest.approx({"organ": 0.5})
    assert (both.seeds, both.seconds, both.parameters, both.macs) == ((0, 1, 2), 15.0, 1000, 5000)
    one = table.query(TOPOLOGIES[0].code, seed=1)
    assert (one.seeds, one.dice, one.spread, one.seconds) == ((1,), 0.6, None, 20.0)
    failed = table.query(TOPOLOGIES[1])
    assert (failed.dice, failed.spread, failed.rungs, failed.per_class) == (None, None, {}, {})


def test_a_table_is_a_mapping_and_its_rows_are_the_columns_of_the_file(tmp_path: Path) -> None:
    rows = [row(TOPOLOGIES[0], 0.5), row(TOPOLOGIES[0], 0.25, seed=1), row(TOPOLOGIES[2], None, cluster=2)]
    table = table_of(rows)
    assert list(table) == [TOPOLOGIES[0], TOPOLOGIES[2]]
    assert len(table) == 2
    assert TOPOLOGIES[2] in table
    assert TOPOLOGIES[1] not in table
    assert table.scores == {TOPOLOGIES[0]: 0.375}
    write_table(tmp_path / "table.csv", rows)
    with (tmp_path / "table.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    for line, values in zip(lines, table.to_rows(), strict=True):
        assert {name for name, text in line.items() if text} == {
            name for name, value in values.items() if value is not None
        }
        assert line["code"] == values["code"]
        assert float(line["seconds"]) == values["seconds"]


def test_an_unknown_topology_names_the_nearest_and_an_unknown_seed_those_there_are() -> None:
    known = TOPOLOGIES[::5]
    table = table_of([row(topology, 0.5) for topology in known])
    asked = TOPOLOGIES[1]
    brute = sorted(known, key=lambda each: (math.dist(each.code, asked.code), each.code))[:3]
    assert table.nearest(asked) == tuple(brute)
    with pytest.raises(KeyError) as unknown:
        table.query(asked)
    assert isinstance(unknown.value, UnknownTopology)
    for topology in brute:
        assert str(topology.code) in str(unknown.value)
    with pytest.raises(UnknownTopology, match="with seed 3; it has 0"):
        table.query(known[0], seed=3)
    with pytest.raises(ValueError, match="cell 2"):
        table.query((0, 2, 0))


THRICE = planned_trainings(SearchSpace(), per_cluster=12, repeated=12, seeds=3)
TWICE = planned_trainings(SearchSpace(), per_cluster=24, repeated=24, seeds=2)
OF_THE_HEART = planned_trainings(SearchSpace(), per_cluster=6, repeated=6, seeds=2)


@pytest.mark.parametrize(
    ("name", "trainings", "iterations", "classes"),
    [("hippocampus", {*THRICE, *TWICE}, 100, 3), ("heart", {*OF_THE_HEART}, 300, 4)],
)
def test_the_shipped_tables_are_whole(name: str, trainings: set[Training], iterations: int, classes: int) -> None:
    """Rows and costs are as they were planned, and each topology lies in its cluster of the whole space."""
    table = TopologyTable.shipped(name)
    assert {(each.cluster, *each.key) for each in table.rows} == trainings
    assert table.iterations == iterations
    patch = tuple(table.setting["patch_size"])
    for topology, result in table.items():
        network = Architecture.uniform(topology, width=0.25)
        cost = network_cost(network, in_channels=1, classes=classes, input_size=patch)
        assert (result.parameters, result.macs) == (cost.parameters, cost.macs)


def test_an_unknown_table_is_no_shipped_one() -> None:
    with pytest.raises(ValueError, match="no table liver, only hippocampus and heart"):
        TopologyTable.shipped("liver")


def test_a_table_without_its_setting_is_queried_but_not_simulated(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", rows_of(dict.fromkeys(TOPOLOGIES, 0.5)))
    table = TopologyTable.load(tmp_path / "table.csv")
    assert table[TOPOLOGIES[0]].dice == 0.5
    with pytest.raises(UserError, match=r"table.json: is missing"):
        simulate(table, ["random"], repetitions=2)


def test_the_text_and_the_json_of_a_simulation_agree() -> None:
    rng = np.random.default_rng(6)
    rows = rows_of({t: float(rng.uniform(0.2, 0.9)) for t in TOPOLOGIES})
    heard: list[str] = []
    found = simulate(table_of(rows), ["algorithm1", "random"], repetitions=20, tables=5, on_contender=heard.append)
    value, text = json.loads(json.dumps(found.to_json())), found.text()
    assert heard == [each["name"] for each in value["contenders"]]
    for each in value["contenders"]:
        assert f"{each['regret']:8.4f}" in text
    mean, low, high = value["regret_less_that_of_random"]["algorithm1"]
    assert f"is {mean:+.4f} ({low:+.4f} to {high:+.4f})" in text
    assert value["budget"]["evaluations"] == min(50, len(TOPOLOGIES) // 2)


def test_a_model_of_all_trainings_knows_the_best_whatever_one_training_says() -> None:
    """Where the code says all, though one training of it collapsed and another's was lucky."""
    true = {each: 0.8 + 0.01 * (each.code[0] - each.code[-3]) for each in TOPOLOGIES}
    best = [each for each in TOPOLOGIES if true[each] == max(true.values())]
    rng = np.random.default_rng(0)
    dice = {(each, seed): true[each] + 0.006 * float(rng.standard_normal()) for each in TOPOLOGIES for seed in range(3)}
    dice[best[0], 1], dice[TOPOLOGIES[7], 0] = 0.1, 0.9
    table = table_of([row(each, value, seed=seed) for (each, seed), value in dice.items()])
    expected = table.predicted(table.space)
    assert TOPOLOGIES[7] not in best
    assert max(expected, key=lambda each: expected[each]) in best
