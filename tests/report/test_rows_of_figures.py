"""Tables behind figures: each column holds what its name says, by hand-made facts."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from c2fnas.api.results import Trials
from c2fnas.evaluation.metrics import CaseScores
from c2fnas.report.coarse import CoarseSummary
from c2fnas.report.figures import rows as tables
from c2fnas.report.figures.coarse import TopologyMap
from c2fnas.report.fine import FineSummary
from c2fnas.report.overlays import Overlay, Slice
from c2fnas.runs.records.coarse_posterior import CoarsePosterior, TrainedTopology
from c2fnas.runs.records.job_record import Curve
from c2fnas.runs.records.ranked import RankedPath
from c2fnas.runs.trial import Trial
from c2fnas.search.clusters import cluster_topologies
from c2fnas.space.architecture import Architecture
from c2fnas.space.cost import network_cost
from c2fnas.space.operation import Operation
from c2fnas.space.search_space import SearchSpace
from c2fnas.studies.widths import Scaled

TOPOLOGIES = SearchSpace(cells=4, downsamplings=1).topologies()
CLUSTERS = cluster_topologies(TOPOLOGIES, clusters=3, seed=0)
PATHS = [
    Architecture.from_text(f"0:{first} 1:{second} 0:3D @0.25") for first in ("2D", "3D") for second in ("P3D", "3D")
]
DICE, MACS = (0.5, 0.75, 0.25, 0.5), (30, 40, 10, 20)


@pytest.fixture
def coarse() -> CoarseSummary:
    """Candidates of the third, the first and the third cluster, which have ended in another order."""
    members = [CLUSTERS[cluster].topologies[place] for cluster, place in ((2, 0), (0, 0), (2, 1))]
    ends = zip(members, (0.5, 0.25, 0.75), (1, 0, 2), strict=True)
    when = datetime(2026, 1, 1, tzinfo=UTC)
    trials = [
        Trial(number, Architecture.uniform(topology, width=0.25), "succeeded", dice, None, 0, order, when, when)
        for number, (topology, dice, order) in enumerate(ends)
    ]
    return CoarseSummary(tuple(trials), CLUSTERS)


@pytest.fixture
def fine() -> FineSummary:
    candidates = [
        RankedPath(number, path, dice, 5, macs, parameters=7)
        for number, (path, dice, macs) in enumerate(zip(PATHS, DICE, MACS, strict=True))
    ]
    operations = (Operation.CONV2D, Operation.P3D, Operation.CONV3D)
    return FineSummary(tuple(candidates), PATHS[3], ((3, 1, 2), (2, 2, 2), (1, 3, 2)), operations, {}, None)


def test_shares_of_clusters_are_counted_in_the_order_of_ends(coarse: CoarseSummary) -> None:
    first, second, third = tables.share_rows(coarse)
    assert first == {"networks": 1, "cluster 1": 1, "cluster 2": 0, "cluster 3": 0}
    assert second == {"networks": 2, "cluster 1": 0.5, "cluster 2": 0, "cluster 3": 0.5}
    assert third == pytest.approx({"networks": 3, "cluster 1": 1 / 3, "cluster 2": 0, "cluster 3": 2 / 3})


def test_progress_is_told_in_the_order_of_ends(coarse: CoarseSummary) -> None:
    first, second, _ = tables.progress_rows(coarse)
    assert first == {"network": 1, "candidate": 1, "cluster": 1, "dice": 0.25, "best so far": 0.25}
    assert second == {"network": 2, "candidate": 0, "cluster": 3, "dice": 0.5, "best so far": 0.5}


def test_every_topology_of_the_map_has_its_place_and_cluster(coarse: CoarseSummary) -> None:
    plane = TopologyMap(coarse)
    found = tables.map_rows(coarse, plane)
    topology = CLUSTERS[0].topologies[0]
    ((x, y),) = plane.places([topology]).tolist()
    assert found[0] == {
        "code": " ".join(map(str, topology.code)),
        "x": pytest.approx(x),
        "y": pytest.approx(y),
        "cluster": 1,
        "dice": 0.25,
    }
    assert len(found) == len(TOPOLOGIES)
    assert sum(row["dice"] is None for row in found) == len(TOPOLOGIES) - 3


def test_the_posterior_is_told_topology_by_topology() -> None:
    trained = TrainedTopology((0, 1, 0), 5, (0.82, 0.84), 0.815, 0.006)
    known = CoarsePosterior(0.01, (0, 1, 0), 0.1, 0.2, 0.004, (1, 1, 1), (2, 2, 2), 0, 0.0, (trained,))
    (row,) = tables.posterior_rows(known)
    expected = {"topology": "0 1 0", "taken": True, "expected_dice": 0.815, "deviation": 0.006}
    assert row == expected | {"scores": "0.82 0.84"}


def test_an_architecture_has_a_row_for_each_part() -> None:
    cost = network_cost(PATHS[0], in_channels=1, classes=3, input_size=(16, 16, 16))
    stem, first, *_, out = tables.architecture_rows(PATHS[0], cost)
    parts = [
        {"parameters": part.parameters, "macs": part.macs} for part in (cost.stem_in, cost.cells[0], cost.stem_out)
    ]
    assert stem == {"cell": "stem", "level": None, "operation": None} | parts[0]
    assert first == {"cell": "1", "level": 0, "operation": Operation.CONV2D} | parts[1]
    assert out == {"cell": "out", "level": None, "operation": None} | parts[2]


def test_widths_have_their_costs_and_each_class() -> None:
    row = Scaled(0.25, (16, 16, 8), 10, 20, 0.75, {"organ": 0.5, "lesion": 1.0}, None, 2, 0.01)
    (found,) = tables.width_rows([row])
    expected = {"width": 0.25, "patch": "16×16×8", "parameters": 10, "macs": 20, "dice": 0.75, "spread": 0.01}
    assert found == expected | {"trainings": 2, "organ": 0.5, "lesion": 1.0, "reason": None}


def test_sampling_is_told_cell_by_cell(fine: FineSummary) -> None:
    assert tables.sampling_rows(fine)[0] == {"cell": 1, "2D": 3, "P3D": 1, "3D": 2}


def test_candidates_have_their_operations_costs_and_marks(fine: FineSummary) -> None:
    found = tables.candidate_rows(fine, fine.candidates)
    expected = {"operations": "2D P3D 3D", "dice": 0.5, "cases": 5, "macs": 30, "parameters": 7}
    assert found[0] == expected | {"front": False, "chosen": False}
    assert [(row["front"], row["chosen"]) for row in found[1:]] == [(True, False), (True, False), (True, True)]


def test_effects_are_means_less_the_mean_of_all(fine: FineSummary) -> None:
    """2D in the first cell has 0.5 and 0.75 of a mean of 0.5: a deviation of 0.125·√2 over √2 candidates."""
    found = tables.effect_rows(fine)
    assert found[0] == {
        "cell": 1,
        "operation": Operation.CONV2D,
        "candidates": 2,
        "mean": pytest.approx(0.125),
        "half_width": pytest.approx(1.96 * 0.125),
    }
    assert [(row["cell"], row["operation"]) for row in found[:3]] == [(1, "2D"), (1, "3D"), (2, "P3D")]


def test_retrainings_are_told_one_by_one() -> None:
    candidates = [{"place": 3, "ranked": 0.5, "dice": [0.6, 0.7]}, {"place": 9, "ranked": 0.4, "dice": []}]
    found = tables.trust_rows({"candidates": candidates})
    assert found == [{"place": 3, "ranked": 0.5, "dice": 0.6}, {"place": 3, "ranked": 0.5, "dice": 0.7}]


def test_curves_have_losses_first_then_validations() -> None:
    found = tables.curve_rows([("fold 0", Curve((1, 10), (0.9, 0.8), 5.0, (10,), (0.7,)))])
    assert found == [
        {"training": "fold 0", "iteration": 1, "loss": 0.9},
        {"training": "fold 0", "iteration": 10, "loss": 0.8},
        {"training": "fold 0", "iteration": 10, "dice": 0.7},
    ]


def test_cases_have_the_dice_of_each_class() -> None:
    assert tables.dice_rows([CaseScores("a", {"organ": 0.5, "lesion": None})]) == [
        {"case": "a", "organ": 0.5, "lesion": None}
    ]


def test_pixels_of_a_slice_are_counted_by_class() -> None:
    """The organ has three true and two predicted pixels, one of them both; the lesion is predicted alone."""
    truth, prediction = np.array([[1, 1, 1], [0, 0, 0]]), np.array([[0, 0, 1], [1, 2, 0]])
    part = Slice(np.zeros((2, 3)), truth, prediction, 1.0, "axial", ("R", "L", "A", "P"), 4, 9, "largest")
    overlay = Overlay("worst", 0, CaseScores("a", {}), (part,))
    place = {"case": "a", "plane": "axial", "slice": 4}
    assert tables.slice_rows(overlay, ("background", "organ", "lesion", "none")) == [
        place | {"class": "organ", "true pixels": 3, "predicted pixels": 2, "both": 1},
        place | {"class": "lesion", "true pixels": 0, "predicted pixels": 1, "both": 0},
    ]


def test_trials_are_written_without_pandas(tmp_path: Path) -> None:
    """A value that a row lacks stays empty, and a comma is no end of a value."""
    Trials([{"stage": "coarse", "dice": 0.5}, {"stage": "scale", "dice": None, "reason": "a, b"}]).to_csv(
        tmp_path / "trials.csv"
    )
    assert (tmp_path / "trials.csv").read_text() == 'stage,dice,reason\ncoarse,0.5,\nscale,,"a, b"\n'
