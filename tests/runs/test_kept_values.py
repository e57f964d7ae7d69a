"""What a run keeps of its planning and its search: written and read again, and as earlier runs have left it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from c2fnas.data.cache import Cache
from c2fnas.data.folds import Split
from c2fnas.errors import UserError
from c2fnas.files import append_json_line, read_json, read_json_lines, write_json
from c2fnas.runs.folder import RunFolder
from c2fnas.runs.records.coarse_posterior import CoarsePosterior, TrainedTopology
from c2fnas.runs.records.job_record import evaluation_in
from c2fnas.runs.records.kept_folds import KeptFolds
from c2fnas.runs.records.plan_choice import PlanChoice
from c2fnas.runs.records.ranked import Limits
from c2fnas.runs.timing.clock import ActiveTime
from c2fnas.runs.timing.schedule_row import ScheduleRow, schedule_rows, seconds_of_verdict
from c2fnas.runs.timing.slots import read_slots
from c2fnas.runs.timing.timings import Timings
from c2fnas.stages.fine import topology_begun

RECORDED = sorted((Path(__file__).parents[2] / "docs" / "results" / "budget-runs").iterdir())


@pytest.mark.parametrize("run", RECORDED, ids=lambda run: run.name)
def test_recorded_runs_are_read(run: Path, tmp_path: Path) -> None:
    """Some are of earlier versions, which had no width, and timings without all of today's fields."""
    choice, raw = PlanChoice.load(run / "planning.json"), read_json(run / "planning.json")
    assert [each.plan.patch_size for each in choice.close] == [
        tuple(each["plan"]["patch_size"]) for each in raw["close"]
    ]
    choice.save(tmp_path / "planning.json")
    assert PlanChoice.load(tmp_path / "planning.json") == choice
    assert raw.items() <= read_json(tmp_path / "planning.json").items()
    rows = [*schedule_rows(run / "schedule.jsonl")]
    for row in rows:
        row.append(tmp_path / "schedule.jsonl")
    assert [*schedule_rows(tmp_path / "schedule.jsonl")] == rows
    raw_rows = read_json_lines(run / "schedule.jsonl")
    assert [vars(each.timings) if each.timings else None for each in rows] == [each.get("timings") for each in raw_rows]


def test_a_race_is_noted_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "planning.json"
    assert PlanChoice.load(path) == PlanChoice()
    for choice in (
        PlanChoice(width=0.5, case_seconds=1.5),
        PlanChoice(begun=3.0, iterations=(10, 20)),
        PlanChoice(race=({"plan": "a", "dice": 0.5}, {"plan": "b", "dice": None}), best=1, lost_seconds=4.0),
        PlanChoice(race=()),
    ):
        choice.save(path)
        assert PlanChoice.load(path) == choice
    assert "best" not in read_json(path)


def test_seconds_of_a_verdict_are_those_of_the_first_row(tmp_path: Path) -> None:
    path = tmp_path / "schedule.jsonl"
    assert seconds_of_verdict(path) is None
    ScheduleRow("deployment", 1.04, 99.0, {"deployment.recipe.iterations": 7}, Timings(0.1, 0.2)).append(path)
    assert seconds_of_verdict(path) is None
    for seconds in (0.0, 5.0):
        ScheduleRow("verdict", 2.0, 98.0, seconds=seconds).append(path)
    assert seconds_of_verdict(path) == 0.0
    first, *_ = read_json_lines(path)
    assert (first["spent"], first["timings"]["alone"], "seconds" in first) == (1.0, 1.0, False)


@pytest.mark.parametrize("content", ['{"weighed": [], "mine": 1}', '{"close": [{}]}', "[]"])
def test_a_choice_that_is_damaged_names_its_file(content: str, tmp_path: Path) -> None:
    (tmp_path / "planning.json").write_text(content)
    with pytest.raises(UserError, match=r"planning.json: not the choice of a plan as this version"):
        PlanChoice.load(tmp_path / "planning.json")


@pytest.mark.parametrize("row", [{"stage": "coarse", "spent": 1, "left": 2, "mine": 3}, {"stage": "coarse"}, []])
def test_a_schedule_that_is_damaged_names_its_file(row: object, tmp_path: Path) -> None:
    append_json_line(tmp_path / "schedule.jsonl", row)
    with pytest.raises(UserError, match=r"schedule.jsonl: not the schedule of a run as this version"):
        list(schedule_rows(tmp_path / "schedule.jsonl"))


def test_a_posterior_is_read_as_it_was_written(tmp_path: Path) -> None:
    best = TrainedTopology((1, 1, 0), 9, (0.82, 0.84), 0.82, 0.005)
    other = TrainedTopology((0, 1, 0), 5, (0.8,), 0.79, 0.01)
    spread, noise = (0.01, 0.0, 0.02), (0.006, 0.004, 0.009)
    found = CoarsePosterior(0.01, (1, 1, 0), 0.1, 0.2, 0.004, spread, noise, 3, 12.5, (best, other))
    found.save(tmp_path / "posterior.json")
    assert CoarsePosterior.load(tmp_path / "posterior.json") == found


def test_folds_are_kept_with_the_groups_that_cases_share(tmp_path: Path) -> None:
    path = tmp_path / "folds.json"
    splits = (Split(("a", "b"), ("c", "d")), Split(("c", "d"), ("a", "b")))
    folds = KeptFolds.of(splits, {"a": "1", "b": "1", "elsewhere": "2"})
    folds.save(path)
    assert KeptFolds.load(path) == folds
    assert [row.get("groups") for row in read_json(path)] == [None, {"a": "1", "b": "1"}]
    path.unlink()
    with pytest.raises(UserError, match=r"folds\.json"):
        KeptFolds.load(path)


@pytest.mark.parametrize(
    "content", ["[]", "{}", "[1]", '[{"training": ["a"]}]', '[{"training": ["a"], "validation": ["a"]}]']
)
def test_folds_that_are_none_name_their_file(content: str, tmp_path: Path) -> None:
    (tmp_path / "folds.json").write_text(content)
    with pytest.raises(UserError, match=r"folds\.json: not the folds of a run"):
        KeptFolds.load(tmp_path / "folds.json")


READERS: dict[str, Callable[[Any], object]] = {
    "slots.json": lambda run: read_slots(run, SimpleNamespace(devices=("cpu",))),  # type: ignore[arg-type]
    "spent.json": lambda run: ActiveTime(run.spent).seconds,
    "fine/topology.json": lambda run: topology_begun(SimpleNamespace(folder=run)),  # type: ignore[arg-type]
    "final/fold-0/evaluation.json": lambda run: evaluation_in(run.final_fold(0)),
    "cache/index.json": lambda run: Cache.open(run.cache),
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("slots.json", '{"devices": ["cpu"]}'),
        ("spent.json", '{"seconds": null}'),
        ("fine/topology.json", '{"code": [9]}'),
        ("final/fold-0/evaluation.json", "{}"),
        ("cache/index.json", "{}"),
        *((name, "[]") for name in READERS if name not in ("slots.json", "spent.json")),
    ],
)
def test_a_file_that_was_edited_into_another_shape_is_named(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=f"{tmp_path / name}: not "):
        READERS[name](RunFolder(tmp_path))


def test_limits_are_kept(tmp_path: Path) -> None:
    assert Limits.load(tmp_path / "choice.json") == Limits()
    Limits(max_macs=2e9).save(tmp_path / "choice.json")
    assert Limits.load(tmp_path / "choice.json") == Limits(max_macs=2e9)
    write_json(tmp_path / "choice.json", {"max_macs": 1e9, "max_latency": None})  # of a version without memory
    assert Limits.load(tmp_path / "choice.json") == Limits(max_macs=1e9)
