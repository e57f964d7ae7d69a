"""A run as one sees it who looks at its folder: who drives it, what is at work, and where it stands."""

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from report_runs import finished_run, searching_run, write_training

from c2fnas.errors import UserError
from c2fnas.evaluation.verdict import Contestant, Verdict
from c2fnas.files import write_json
from c2fnas.runs.lock import RunLock
from c2fnas.runs.state import STALE, read_state


def driven(root: Path, host: str = "node-7") -> None:
    (root / "driver.json").write_text(json.dumps({"pid": 1, "host": host}))


def test_a_run_that_nobody_drives(tmp_path: Path) -> None:
    state = read_state(searching_run(tmp_path).root)
    assert (state.driver, state.jobs, state.finished) == (None, (), False)
    assert state.text.endswith("Nobody drives it now.")


def test_what_is_at_work_is_what_was_written_lately_and_has_no_result(tmp_path: Path) -> None:
    folder = searching_run(tmp_path)
    driven(tmp_path)
    for path in tmp_path.glob("*/**/metrics.jsonl"):
        os.utime(path, (1, 1))
    job = folder.final_fold(1)
    write_training(job, pace=0.5, until=10)
    os.utime(job / "metrics.jsonl")
    (note,) = read_state(tmp_path).jobs
    assert note.startswith("final/fold-1: 10/")
    assert "Driven from node-7, last written " in read_state(tmp_path).text
    (job / "result.json").write_text("{}")
    assert read_state(tmp_path).jobs == ()


def test_a_driver_that_writes_no_more_is_doubted(tmp_path: Path) -> None:
    searching_run(tmp_path)
    driven(tmp_path)
    for path in [*tmp_path.rglob("*.json*"), tmp_path / "run.yaml", tmp_path / "study.db"]:
        os.utime(path, (time.time() - 2 * STALE,) * 2)
    assert "If its process has ended, the same command carries on." in read_state(tmp_path).text


def test_a_finished_run_is_finished_once_its_driver_has_left(tmp_path: Path) -> None:
    finished_run(tmp_path)
    with RunLock(tmp_path):
        assert not read_state(tmp_path).finished
    assert read_state(tmp_path).finished
    assert read_state(tmp_path).text == "The run is finished."


def test_a_verdict_that_goes_on_is_not_finished(tmp_path: Path) -> None:
    """Further trainings of `verdict --replicates` come after a verdict was written."""
    folder = finished_run(tmp_path, verdict=True)
    verdict = Verdict(Contestant("searched network", "x", 1, 1, None, None), (), 0, (1,), "", ()).to_json()
    write_json(folder.verdict_file, verdict)
    with RunLock(tmp_path):
        assert read_state(tmp_path).text.startswith("All that was asked for before is done. Driven from ")
    place = folder.reference("unet_macs", 0, 1)
    write_training(place, pace=0.5, until=10)
    after = folder.verdict_file.stat().st_mtime + 10
    os.utime(place / "metrics.jsonl", (after, after))
    with RunLock(tmp_path):
        assert "is finished" not in read_state(tmp_path).text
    assert not read_state(tmp_path).finished
    os.utime(folder.verdict_file, (after + 10, after + 10))
    assert read_state(tmp_path).finished


def test_before_there_is_a_configuration_the_data_are_prepared(tmp_path: Path) -> None:
    driven(tmp_path)
    state = read_state(tmp_path)
    assert (state.summary, state.finished) == (None, False)
    assert state.text == "The data are being prepared on node-7."
    assert state.to_json()["driver"] == "node-7"
    (tmp_path / "spent.json").write_text("{}")
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 2 * STALE,) * 2)
    assert read_state(tmp_path).text.endswith("node-7. If its process has ended, the same command carries on.")
    os.utime(tmp_path / "spent.json")  # which a driver that prepares writes every few seconds
    assert read_state(tmp_path).text == "The data are being prepared on node-7."


def test_a_driver_that_died_after_the_last_stage_does_not_keep_a_run_unfinished(tmp_path: Path) -> None:
    finished_run(tmp_path)
    driven(tmp_path)
    assert not read_state(tmp_path).finished
    for path in [each for each in tmp_path.rglob("*") if each.is_file()]:
        os.utime(path, (path.stat().st_mtime - 2 * STALE,) * 2)
    assert read_state(tmp_path).finished


@pytest.mark.parametrize("vanishing", ["cache", "final"])
def test_folders_that_are_renamed_meanwhile_are_passed_over(
    vanishing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of a run that is at work are."""
    searching_run(tmp_path)
    driven(tmp_path)
    (tmp_path / vanishing / ".unfinished" / "case").mkdir(parents=True)
    listed = os.scandir

    def gone(place: Any = ".") -> Any:
        if ".unfinished" in str(place):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(place))
        return listed(place)

    monkeypatch.setattr(os, "scandir", gone)
    assert "Driven from node-7" in read_state(tmp_path).text


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        read_state(tmp_path)
