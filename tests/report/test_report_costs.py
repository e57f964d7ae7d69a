"""What a run has cost and what is left of it, where users asked for more, jobs failed or processes worked together."""

from pathlib import Path

import pytest
from report_runs import SPACE, WIDTH, finished_run, write_result, write_training

from c2fnas.files import read_json, write_json
from c2fnas.report.facts.cost import StageCost
from c2fnas.report.facts.run import read_run
from c2fnas.report.story import state
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.ledger import Ledger
from c2fnas.space.architecture import Architecture

NETWORK = Architecture.uniform(SPACE.topologies()[0], width=WIDTH)


def stage(folder: RunFolder, name: str) -> StageCost:
    (found,) = [each for each in read_run(folder.root).costs.stages if each.name == name]
    return found


@pytest.mark.parametrize(
    ("name", "study", "trained"),
    [("widths", "scale", RunFolder.scale_trial), ("ablation", "ablation", RunFolder.ablation_trial)],
)
def test_a_training_that_failed_is_settled(tmp_path: Path, name: str, study: str, trained) -> None:
    """It is never tried again, so a run can be finished with it; one under way is waited for, nobody knows how long."""
    folder = finished_run(tmp_path)
    ledger = Ledger(folder.study, study)
    ledger.succeed(ledger.start(NETWORK), 0.5)
    write_result(trained(folder, 0), {"dice": 0.5}, seconds=11.0)
    second = ledger.start(NETWORK)
    write_training(trained(folder, 1), pace=0.5, until=10)
    found, run = stage(folder, name), read_run(folder.root)
    assert (found.done, found.total, found.left, found.finished) == (1, 2, None, False)
    assert found.seconds == pytest.approx(11 + 5)
    assert run.costs.eta is None
    assert "how long the rest takes is not known yet" in state(run)
    ledger.fail(second, "no memory")
    assert stage(folder, name).finished
    assert state(read_run(folder.root)) == "The run is finished."


@pytest.mark.parametrize("numbers", [True, False])
def test_a_retraining_that_failed_is_settled_with_the_result(tmp_path: Path, numbers: bool) -> None:
    """Also where ``verification.json`` is of a version that did not tell numbers."""
    folder = finished_run(tmp_path)
    ranking = stage(folder, "ranking").seconds
    write_result(folder.ranking / "verify-3" / "0000", {"rows": []}, seconds=2.0)
    places = [folder.verification / "9-iterations" / f"{number:04d}-seed-0" for number in (3, 5, 8)]
    write_result(places[0], {"dice": 0.4}, seconds=7.0)
    write_result(places[1], None, seconds=3.0)
    write_training(places[2], pace=0.5, until=10)  # killed: it has no result
    found = stage(folder, "verification")
    assert (found.done, found.total, found.left, found.finished) == (2, 4, None, False)
    assert found.seconds == pytest.approx(2 + 7 + 3 + 5)  # scoring on all cases is part of it
    assert stage(folder, "ranking").seconds == ranking
    rows = [{"number": number, "ranked": 0.3, "place": 1, "dice": []} for number in (3, 5, 8)]
    rows = rows if numbers else [{k: v for k, v in row.items() if k != "number"} for row in rows]
    write_json(folder.verification_file, {"iterations": 9, "candidates": rows})
    assert stage(folder, "verification").finished
    write_training(folder.verification / "20-iterations" / "0003-seed-0", pace=0.5, until=10)
    assert not stage(folder, "verification").finished  # another one has begun


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
    assert found.wait == pytest.approx(found.left / 4)
