"""The jobs that a run does at a time: as many as its executor has room for, whoever asks and whenever it changes."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from report_runs import finished_run, searching_run
from timed_runs import TIMED, Clock, Sayings, started

from c2fnas.data.phantoms import write_phantoms
from c2fnas.errors import UserError
from c2fnas.execution.executor import Executor
from c2fnas.execution.job import Job, Outcome
from c2fnas.files import read_json, write_json
from c2fnas.planning import forecast, run_timings
from c2fnas.planning.request import request_for
from c2fnas.report.summary import read_report
from c2fnas.report.text import tiles
from c2fnas.runs import run as run_module
from c2fnas.runs.driver import run_jobs
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.run import Run
from c2fnas.runs.state import read_state
from c2fnas.runs.summary import read_summary
from c2fnas.runs.timing.clock import ActiveTime
from c2fnas.stages.pipeline import run_pipeline
from c2fnas.stages.preparation import prepare
from c2fnas.studies import verdict


class Cluster(Executor):
    """Answers jobs in order; ``room`` is how many it takes at a time after so many answers, the last from then on."""

    elsewhere = True

    def __init__(self, room: Sequence[int]) -> None:
        self.room, self.answered, self.most = room, 0, list[int]()
        self._waiting: list[Job] = []

    @property
    def slots(self) -> int:
        return self.room[min(self.answered, len(self.room) - 1)]

    @property
    def idle(self) -> int:
        return max(0, self.slots - len(self._waiting))

    @property
    def running(self) -> tuple[Job, ...]:
        return tuple(self._waiting)

    def submit(self, job: Job) -> None:
        self._waiting.append(job)

    def wait(self, timeout: float | None = None) -> Outcome | None:
        self.most.append(len(self._waiting))
        self.answered += 1
        return Outcome(self._waiting.pop(0).id, {"dice": 0.5}, None, "done", 1.0, "node")

    def close(self) -> None:
        self._waiting.clear()


def jobs(folder: Path, count: int) -> list[Job]:
    return [Job(f"job {number}", "nowhere:target", {}, folder / f"job-{number}") for number in range(count)]


def test_what_is_left_is_divided_by_the_room_of_the_moment(tmp_path: Path) -> None:
    """Nodes join and leave; a stage of which less is left than there is room for is divided by what is left."""
    folder = searching_run(tmp_path, devices=("cpu",))
    alone, room = read_summary(tmp_path), [2, 2, 5, 1, 64]
    run, seen = Run(tmp_path, executor=Cluster(room)), list[tuple[int, float]]()

    def settle(outcome: Outcome) -> None:
        summary = read_summary(tmp_path)
        coarse, supernet, ranking, _ = summary.stages
        assert (coarse.left, ranking.left) == (alone.stages[0].left, alone.stages[2].left)
        assert ranking.eta == pytest.approx(ranking.left / summary.slots.jobs)  # type: ignore[operator]
        assert coarse.eta == pytest.approx(coarse.left / min(2, summary.slots.jobs))  # type: ignore[operator]
        assert supernet.eta == supernet.left  # is trained on one
        assert summary.to_json()["slots"] == read_state(tmp_path).to_json()["slots"] == summary.slots.jobs
        seen.append((summary.slots.jobs, summary.eta or 0.0))

    run_jobs(run, "some", jobs(tmp_path, 12), settle=settle)
    told = [slots for slots, _ in seen]
    assert told[:5] == room[:5]  # the room that there was when the answer was asked for
    assert set(told[5:]) == {64}
    assert dict(seen)[64] < dict(seen)[5] < dict(seen)[2] < dict(seen)[1]
    assert max(run.executor.most) > 5  # type: ignore[attr-defined]
    assert read_json(folder.slots) == {"jobs": 64, "elsewhere": True, "devices": ["cpu"]}


def test_the_last_room_counts_until_the_run_has_other_devices(tmp_path: Path) -> None:
    searching_run(tmp_path, devices=("cuda:0",))
    assert (read_summary(tmp_path).slots.jobs, Run(tmp_path).slots.jobs) == (1, 1)
    run_jobs(Run(tmp_path, executor=Cluster([8])), "some", jobs(tmp_path, 3))
    assert read_summary(tmp_path).slots == Run(tmp_path).slots
    assert (Run(tmp_path).slots.jobs, Run(tmp_path).slots.elsewhere) == (8, True)
    run = Run(tmp_path)
    run.configure(run.config.model_copy(update={"devices": ("cuda:0", "cuda:1")}))
    assert Run(tmp_path).slots.jobs == read_summary(tmp_path).slots.jobs == 2


def test_a_summary_of_a_cluster_does_not_name_the_devices_of_the_run(tmp_path: Path) -> None:
    finished_run(tmp_path, devices=("cpu",))
    assert tiles(read_report(tmp_path))[-1][-1] == "in all, on cpu"
    run_jobs(Run(tmp_path, executor=Cluster([64])), "some", jobs(tmp_path, 1))
    assert tiles(read_report(tmp_path))[-1][-1] == "in all, on 64 jobs at a time"
    (tmp_path / "driver.json").write_text(json.dumps({"pid": 1, "host": "node-7"}))
    searching_run(tmp_path / "other")
    (tmp_path / "other/driver.json").write_text(json.dumps({"pid": 1, "host": "node-7"}))
    write_json(tmp_path / "other/slots.json", read_json(tmp_path / "slots.json"))
    assert "Driven from node-7, 64 jobs at a time, last written" in read_state(tmp_path / "other").text


def test_it_is_written_when_it_changes_and_a_full_disk_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching_run(tmp_path)
    kept, writes = run_module.keep_slots, list[int]()

    def counted(*arguments: object) -> bool:
        writes.append(1)
        return kept(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(run_module, "keep_slots", counted)
    run_jobs(Run(tmp_path, executor=Cluster([4, 4, 4, 4, 7])), "some", jobs(tmp_path, 20))
    assert len(writes) == 2

    def full(*_: object) -> None:
        raise UserError("no space left on device")

    monkeypatch.setattr("c2fnas.runs.timing.slots.write_json", full)
    assert len(run_jobs(Run(tmp_path, executor=Cluster([3])), "some", jobs(tmp_path, 5))) == 5
    assert read_summary(tmp_path).slots.jobs == 7


def test_a_folder_that_is_no_run_yet_gets_no_file(tmp_path: Path) -> None:
    run_jobs(Run(tmp_path, executor=Cluster([4])), "some", jobs(tmp_path, 2))
    assert not RunFolder(tmp_path).slots.exists()


def seconds_by_stage(text: str) -> dict[str, int]:
    found = re.findall(r"^  (\S+) +≈ (?:(\d+) days?, )?(\d+):(\d+):(\d+)", text, re.MULTILINE)
    times = [(stage, [int(part or 0) for part in parts]) for stage, *parts in found]
    return {stage: 86400 * d + 3600 * h + 60 * m + s for stage, (d, h, m, s) in times}


def test_a_forecast_is_made_for_the_room_of_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole run's, before its first job; that of trainings, and that of a verdict."""
    clock: Clock = started(monkeypatch)
    dataset = write_phantoms(tmp_path / "Task00", cases=15, test_cases=0)
    folder = tmp_path / "run"
    values = {"width": 0.125, "coarse.evaluations": 16, "deployment.folds": "all"}
    run = Run(folder, time=ActiveTime(folder / "spent.json", clock))
    run = prepare(run, dataset, request_for(run.folder, budget="paper", overrides=values, devices=("cpu",)))
    monkeypatch.setattr(run_timings, "measure", lambda *_: TIMED)
    one = forecast.forecast_of(run)
    assert "on cpu" in one
    said, cluster = Sayings(), Cluster([8])

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("c2fnas.stages.pipeline.coarse_stage", stop)
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(run.using(reporter=said), dataset, lambda devices: cluster)
    (many,) = [text for text in said.texts if "together" in text]
    assert "on 8 jobs at a time" in many
    before, after = seconds_by_stage(one), seconds_by_stage(many)
    assert after["coarse"] == pytest.approx(before["coarse"] / 8, abs=1)
    assert after["super-network"] == before["super-network"]
    assert after["deployment"] == pytest.approx(before["deployment"] / len(run.final_folds), abs=1)
    monkeypatch.setattr(verdict, "_cost", lambda _: lambda count: -(-count // 8) * 60.0)
    assert verdict.forecast(run.using(cluster), jobs(tmp_path, 9)).endswith("about 2 min 0 s on 8 jobs at a time.")
