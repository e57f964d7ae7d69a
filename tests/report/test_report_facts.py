"""What a report reads from a run folder, by closed forms and by counting."""

import shutil
import statistics
from datetime import UTC
from itertools import product
from pathlib import Path

import pytest
from report_runs import COARSE, SPACE, begun_run, evaluation, finished_run, planned_run, searching_run, write_training

from c2fnas.errors import UserError
from c2fnas.files import write_json
from c2fnas.report.facts.coarse import best_so_far, cluster_shares
from c2fnas.report.facts.fine import Candidate, operation_effects
from c2fnas.report.facts.jobs import read_curve
from c2fnas.report.facts.run import read_run
from c2fnas.report.story import deeds
from c2fnas.space.architecture import Architecture
from c2fnas.space.operation import Operation


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    run = read_run(begun_run(tmp_path).root)
    assert (run.plan, run.data, run.problems, run.folds, run.folds_checksum) == (None, None, (), (), None)
    assert (run.coarse.trials, run.fine.candidates, run.final.folds, run.design) == ((), (), (), None)
    assert run.costs.eta is None
    assert run.costs.seconds == 0
    assert [each.name for each in run.costs.stages] == ["coarse", "super-network", "ranking", "deployment"]
    assert not any(each.finished for each in run.costs.stages)
    assert run.changed.tzinfo is UTC


def test_what_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run\.yaml"):
        read_run(tmp_path)


def test_a_search_under_way(tmp_path: Path) -> None:
    run = read_run(searching_run(tmp_path).root)
    assert [trial.score for trial in run.coarse.evaluated] == list(COARSE)
    assert run.coarse.best is not None
    assert run.coarse.best.score == max(COARSE)
    assert run.coarse.failed == 1
    coarse = run.costs.stages[0]
    # Four at 31 s as the ledger says, 2 s of the failure, ten iterations at half a second of the one under way.
    assert coarse.seconds == pytest.approx(4 * 31 + 2 + 5)
    assert (coarse.done, coarse.total, coarse.finished) == (4, 6, False)
    # Two more at what the four took with the failure, less what is done of one.
    assert coarse.left == pytest.approx(2 * (4 * 31 + 2) / 4 - 5)


def test_the_rest_is_estimated_from_the_pace_of_the_candidates(tmp_path: Path) -> None:
    _, supernet, ranking, deployment = read_run(searching_run(tmp_path).root).costs.stages
    # 40 iterations of two patches, at half a second an iteration.
    assert supernet.left == pytest.approx(40 * 0.5)
    # A candidate's job took 30 s for 40 iterations of half a second and two cases: 5 s a case at the same stride.
    assert ranking.total == 20 * 2
    assert ranking.left == pytest.approx(20 * 2 * 5)
    assert deployment.left == pytest.approx(40 * 0.5 + 2 * 5)


def test_more_devices_wait_less(tmp_path: Path) -> None:
    one = read_run(searching_run(tmp_path / "one").root).costs
    two = read_run(searching_run(tmp_path / "two", devices=("cuda:0", "cuda:1")).root).costs
    assert two.stages[0].left == one.stages[0].left
    assert two.stages[0].wait == pytest.approx((one.stages[0].wait or 0) / 2)
    assert two.stages[1].wait == one.stages[1].wait  # a super-network is trained on one
    assert (two.eta or 0) < (one.eta or 0)


def test_a_finished_run(tmp_path: Path) -> None:
    run = read_run(finished_run(tmp_path).root)
    assert run.costs.finished
    assert run.costs.eta == 0
    assert [each.seconds for each in run.costs.stages[1:]] == [12.0, 5.0, 36.0]
    assert run.fine.chosen == run.design
    assert run.fine.candidates[0].architecture == run.design
    assert run.final.evaluation is not None
    assert run.final.evaluation.mean == pytest.approx(0.6)
    assert [row.case for _, row in run.final.worst_first] == ["phantom_002", "phantom_001"]


def test_a_verdict_that_is_planned_is_waited_for(tmp_path: Path) -> None:
    costs = read_run(finished_run(tmp_path, verdict=True).root).costs
    verdict = costs.stages[-1]
    assert (verdict.name, verdict.done, verdict.total) == ("verdict", 0, 2)
    assert verdict.left == pytest.approx(2 * 36)  # each reference takes what the found network took
    assert not costs.finished


def test_folds_that_are_trained_later_are_deployed_but_not_the_verdicts(tmp_path: Path) -> None:
    folder = finished_run(tmp_path, verdict=True)
    shutil.copytree(folder.final_fold(1), folder.final_fold(0))
    run = read_run(folder.root)
    assert [(each.name, each.total) for each in run.costs.stages[-2:]] == [("deployment", 2), ("verdict", 2)]
    assert "on 2 of 2 folds" in " ".join(deeds(run))


def test_a_training_that_is_extended_has_no_evaluation(tmp_path: Path) -> None:
    folder = finished_run(tmp_path)
    (folder.final_fold(1) / "result.json").unlink()
    run = read_run(folder.root)
    assert run.final.evaluation is None
    assert not run.costs.finished


def test_a_training_alone_has_no_search(tmp_path: Path) -> None:
    costs = read_run(planned_run(tmp_path, kind="training").root).costs
    assert [each.name for each in costs.stages] == ["deployment"]


def test_cases_without_any_scored_class_come_last(tmp_path: Path) -> None:
    folder = finished_run(tmp_path)
    scores = evaluation([0.7, 0.5])
    scores["cases"].insert(0, {"case": "empty", "dice": {"organ": None, "lesion": None}, "false_positive": []})
    write_json(folder.final_fold(1) / "evaluation.json", scores)
    final = read_run(folder.root).final
    assert [row.case for _, row in final.every_case] == ["phantom_002", "phantom_001", "empty"]
    assert [row.case for _, row in final.worst_first] == ["phantom_002", "phantom_001"]


def test_equal_warnings_stand_together(tmp_path: Path) -> None:
    (group,) = read_run(planned_run(tmp_path).root).problems
    assert group.files == ("a.nii.gz", "b.nii.gz")


def test_a_curve_adds_up_its_stretches(tmp_path: Path) -> None:
    write_training(tmp_path, pace=0.5, until=20)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(
            '{"iteration": 20, "iterations": 40, "validation": 0.7}\n{"doing": "evaluated", "done": 1, "total": 2}\n'
        )
        file.write('{"iteration": 30, "iterations": 40, "loss": 0.1, "seconds_per_iteration": 2.0}\n{"iterat')
    curve = read_curve(tmp_path)
    assert (curve.done, curve.planned) == (30, 40)
    assert curve.iterations == (1, 10, 20, 30)
    assert (curve.validated, curve.dice) == ((20,), (0.7,))
    assert curve.seconds == pytest.approx(20 * 0.5 + 10 * 2.0)


def test_shares_add_up_and_count() -> None:
    owners = [0, 2, 2, 1, 2]
    shares = cluster_shares(owners, 4)
    assert all(sum(row) == pytest.approx(1) for row in shares)
    assert shares[-1] == pytest.approx([1 / 5, 1 / 5, 3 / 5, 0])
    assert best_so_far([0.3, 0.1, 0.5, 0.4]) == [0.3, 0.3, 0.5, 0.5]


def test_effects_of_an_additive_dice_are_its_terms() -> None:
    """Over every path of a Dice that adds up over cells, the marginal effects are the terms about their mean."""
    topology = SPACE.topologies()[0]
    terms = dict(zip(Operation, (0.01, 0.02, 0.06), strict=True))
    mean = statistics.fmean(terms.values())
    candidates = [
        Candidate(
            Architecture(topology, path, 1.0),
            0.5 + sum((cell + 1) * terms[o] for cell, o in enumerate(path)),
            1,
            None,
            None,
            None,
        )
        for path in product(Operation, repeat=SPACE.cells)
    ]
    effects = operation_effects(candidates, tuple(Operation))
    assert len(effects) == 3 * SPACE.cells
    for effect in effects:
        assert effect.mean == pytest.approx(effect.cell * (terms[effect.operation] - mean))
        assert effect.candidates == 3 ** (SPACE.cells - 1)
