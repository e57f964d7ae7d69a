"""What a run has cost and what is left of it, where users asked for more, jobs failed or processes worked together."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_runs import COARSE, begun_run, finished_run, planned_run, searching_run, write_result, write_training

from c2fnas.errors import UserError
from c2fnas.files import read_json, write_json
from c2fnas.planning.budget import Workload, estimate
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.records.job_record import read_curve
from c2fnas.runs.stage_summary import StageSummary, clock_seconds
from c2fnas.runs.summary import read_summary, stage_tasks
from c2fnas.runs.timing.timings import Timings
from c2fnas.space.architecture import Architecture


def stage(folder: RunFolder, name: str) -> StageSummary:
    (found,) = [each for each in read_summary(folder.root).stages if each.name == name]
    return found


@pytest.mark.parametrize(
    ("name", "place", "table"), [("widths", "scale", "scale/table.json"), ("verification", "fine/verification", None)]
)
def test_a_training_that_failed_is_settled(tmp_path: Path, name: str, place: str, table: str | None) -> None:
    """One under way is waited for, and nobody knows how long; the study's own file comes last."""
    folder = finished_run(tmp_path)
    write_result(tmp_path / place / "some" / "first", {"dice": 0.5}, seconds=11.0)
    write_training(tmp_path / place / "some" / "second", pace=0.5, until=10)
    found, run = stage(folder, name), read_summary(folder.root)
    assert (found.done, found.total, found.left, found.finished) == (1, 2, None, False)
    assert found.seconds == pytest.approx(11 + 5)
    assert run.eta is None
    assert "how long the rest takes is not known yet" in run.text
    write_result(tmp_path / place / "some" / "second", None, seconds=6.0)
    found = stage(folder, name)
    assert (found.done, found.failed, found.finished) == (2, 1, False)
    write_json(tmp_path / table if table else folder.verification_file, [] if table else {})
    assert stage(folder, name).finished
    assert read_summary(folder.root).text == "The run is finished."


def test_a_retraining_that_was_killed_is_settled_with_the_result(tmp_path: Path) -> None:
    """It has left no result of its own."""
    folder = finished_run(tmp_path)
    ranking = stage(folder, "ranking").seconds
    write_result(folder.ranking / "verify-3" / "0000", {"rows": []}, seconds=2.0)
    places = [folder.verification / "9-iterations" / f"{number:04d}-seed-0" for number in (3, 5, 8)]
    write_result(places[0], {"dice": 0.4}, seconds=7.0)
    write_result(places[1], None, seconds=3.0)
    write_training(places[2], pace=0.5, until=10)
    found = stage(folder, "verification")
    assert (found.done, found.total, found.left, found.finished) == (3, 4, None, False)
    assert found.seconds == pytest.approx(2 + 7 + 3 + 5)  # scoring on all cases is part of it
    assert stage(folder, "ranking").seconds == ranking
    write_json(folder.verification_file, {})
    assert stage(folder, "verification").finished
    write_training(folder.verification / "20-iterations" / "0003-seed-0", pace=0.5, until=10)
    assert not stage(folder, "verification").finished  # another one has begun


def test_an_ablation_needs_no_table(tmp_path: Path) -> None:
    """A run may be one of several that a table is of."""
    folder = finished_run(tmp_path)
    write_result(folder.ablation / "first", {"dice": None, "unscored": "no memory"}, seconds=11.0)
    found = stage(folder, "ablation")
    assert (found.done, found.total, found.failed, found.finished) == (1, 1, 1, True)


def test_processes_that_train_together_hold_a_device_each(tmp_path: Path) -> None:
    folder = finished_run(tmp_path)
    one = stage(folder, "deployment").seconds
    for place in (folder.final_fold(1), folder.supernet):
        report = read_json(place / "result.json")
        write_json(place / "result.json", report | {"processes": 8})
    assert stage(folder, "deployment").seconds == pytest.approx(8 * one)
    assert stage(folder, "super-network").seconds == pytest.approx(8 * 12)


def test_what_processes_are_training_together_waits_for_all_of_them(tmp_path: Path) -> None:
    """An interrupted session has told how many they are."""
    folder = finished_run(tmp_path)
    write_training(folder.final_fold(1), pace=0.5, until=20)
    write_result(folder.final_fold(1), None, seconds=10.0, processes=4)
    found = stage(folder, "deployment")
    assert found.seconds == pytest.approx(4 * 10)
    assert found.left is not None
    assert found.left == pytest.approx(4 * 20 * 0.5 + 2 * 5)  # device-seconds of the rest, and two cases
    assert found.eta == pytest.approx(found.left / 4)


def test_the_rest_is_estimated_from_the_pace_of_the_candidates(tmp_path: Path) -> None:
    _, supernet, ranking, deployment = read_summary(searching_run(tmp_path).root).stages
    # 40 iterations of two patches, at half a second an iteration.
    assert supernet.left == pytest.approx(40 * 0.5)
    # A candidate's job took 30 s for 40 iterations of half a second and two cases: 5 s a case at the same stride.
    assert ranking.total == 20 * 2
    assert ranking.left == pytest.approx(20 * 2 * 5)
    assert deployment.left == pytest.approx(40 * 0.5 + 2 * 5)


def test_more_devices_wait_less(tmp_path: Path) -> None:
    one = read_summary(searching_run(tmp_path / "one").root)
    two = read_summary(searching_run(tmp_path / "two", devices=("cuda:0", "cuda:1")).root)
    assert two.stages[0].left == one.stages[0].left
    assert two.stages[0].eta == pytest.approx((one.stages[0].eta or 0) / 2)
    assert two.stages[1].eta == one.stages[1].eta  # a super-network is trained on one
    assert (two.eta or 0) < (one.eta or 0)


def test_a_verdict_that_is_planned_is_waited_for(tmp_path: Path) -> None:
    run = read_summary(finished_run(tmp_path, verdict=True).root)
    verdict = run.stages[-1]
    assert (verdict.name, verdict.done, verdict.total) == ("verdict", 0, 2)
    assert verdict.left == pytest.approx(2 * 36)  # each reference takes what the found network took
    assert not run.finished


def test_a_training_alone_has_no_search(tmp_path: Path) -> None:
    run = read_summary(planned_run(tmp_path, kind="training").root)
    assert [each.name for each in run.stages] == ["deployment"]


def test_a_curve_adds_up_its_stretches(tmp_path: Path) -> None:
    write_training(tmp_path, pace=0.5, until=20)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(
            '{"iteration": 20, "iterations": 40, "validation": 0.7}\n{"doing": "evaluated", "done": 1, "total": 2}\n'
        )
        file.write('{"iteration": 30, "iterations": 40, "loss": 0.1, "seconds_per_iteration": 2.0}\n{"iterat')
    curve = read_curve(tmp_path)
    assert curve.done == 30
    assert curve.iterations == (1, 10, 20, 30)
    assert (curve.validated, curve.dice) == ((20,), (0.7,))
    assert curve.seconds == pytest.approx(20 * 0.5 + 10 * 2.0)


def test_what_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run\.yaml"):
        read_summary(tmp_path)


def test_an_answer_in_json_is_that_of_the_summary(tmp_path: Path) -> None:
    run = read_summary(searching_run(tmp_path).root)
    told = json.loads(json.dumps(run.to_json()))
    assert told["best_dice"] == max(COARSE)
    assert told["seconds"] == pytest.approx(sum(each["seconds"] for each in told["stages"]))
    assert told["eta"] == pytest.approx(sum(each["left"] / each["devices"] for each in told["stages"]))
    assert [each["state"] for each in told["stages"]] == ["under way", *["not begun"] * 3]
    assert told["stages"][0]["failed"] == 1
    assert (told["evaluation"], told["verdict"], told["architecture"]) == (None, None, None)
    assert not told["finished"]


def test_the_answer_of_a_finished_run(tmp_path: Path) -> None:
    run = read_summary(finished_run(tmp_path).root)
    told = json.loads(json.dumps(run.to_json()))
    assert {each["state"] for each in told["stages"]} == {"done"}
    assert told["architecture"] == Architecture.load(tmp_path / "final").to_text()
    assert told["evaluation"]["mean"] == pytest.approx(0.6)
    assert (told["finished"], told["eta"]) == (True, 0)


def test_jobs_side_by_side_share_the_clock(tmp_path: Path) -> None:
    folder = finished_run(tmp_path)
    for number, (seconds, ended) in enumerate([(10.0, 100.0), (10.0, 105.0), (3.0, 200.0)]):
        job = folder.ranking / "rung-1" / f"{number:04d}"
        write_result(job, {"rows": []}, seconds=seconds)
        os.utime(job / "result.json", (ended, ended))
    found = stage(folder, "ranking")
    assert found.seconds == pytest.approx(23)
    assert found.clock == pytest.approx(15 + 3)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted)))
def test_the_clock_counts_every_second_once(spans: list[list[int]]) -> None:
    assert clock_seconds(map(tuple, spans)) == len({second for start, end in spans for second in range(start, end)})


def test_a_job_that_failed_is_counted(tmp_path: Path) -> None:
    folder = finished_run(tmp_path)
    write_result(folder.final_fold(1), None, seconds=10.0)
    found = stage(folder, "deployment")
    assert (found.failed, found.done, found.finished) == (1, 0, False)


def test_every_stage_of_a_run_has_a_task(tmp_path: Path) -> None:
    for verdict in (False, True):
        run = read_summary(begun_run(tmp_path / str(verdict), verdict=verdict).root)
        tasks = stage_tasks(run.config)
        assert list(tasks) == [each.name for each in run.stages]
        assert tasks["deployment"].startswith("the network trained from scratch on its folds,")
        assert ("verdict" in tasks) == verdict
        assert list(tasks) == list(estimate(run.config, Timings(patch=0.1, window=0.05), Workload(1, 4, 2, devices=1)))
    assert list(stage_tasks(run.config.model_copy(update={"kind": "training"}))) == ["deployment", "verdict"]
