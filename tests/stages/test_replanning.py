"""Another time before a stage begins: plan, cases and counts are chosen again; cases are drawn once for each time."""

from pathlib import Path
from typing import Any

import pytest
from timed_runs import Clock, Sayings, started

from c2fnas.data.layouts import read_dataset
from c2fnas.data.phantoms import write_phantoms
from c2fnas.data.plan import Plan, save_plan
from c2fnas.errors import UserError
from c2fnas.files import read_json, write_json
from c2fnas.planning import affordable
from c2fnas.planning.request import request_for
from c2fnas.runs.run import Run
from c2fnas.runs.timing.clock import ActiveTime
from c2fnas.runs.timing.schedule_row import ScheduleRow
from c2fnas.stages import preparation, run_folds

WIDTH = {"width": 0.125}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("data") / "Task00", cases=10, test_cases=0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return started(monkeypatch)


def prepared(
    dataset: Path, folder: Path, clock: Clock, budget: str | None = None, said: Sayings | None = None, **values: Any
) -> Run:
    run = Run(folder, reporter=said, time=ActiveTime(folder / "spent.json", clock))
    with run.locked():
        request = request_for(run.folder, budget=budget, overrides=values, devices=("cpu",))
        return preparation.prepare(run, dataset, request)


def ids(run: Run) -> set[str]:
    return {case for fold in Run(run.folder.root).folds for case in (*fold.training, *fold.validation)}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Six cases for less than an hour, then all; returns the hours of every measurement."""
    asked = list[float]()

    def affordable_cases(run: Run, data: Any, plan: Plan, hours: float) -> tuple[int, float]:
        asked.append(hours)
        return (6 if hours < 1 else 100), 1.0

    monkeypatch.setattr(run_folds, "affordable_cases", affordable_cases)
    return asked


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The hours of every plan that is made."""
    hours, real = list[float](), preparation.affordable_plan

    def affordable_plan(run: Run, data: Any, request: Any, *more: Any) -> Plan:
        hours.append(request.draft.hours)
        return real(run, data, request, *more)

    monkeypatch.setattr(preparation, "affordable_plan", affordable_plan)
    return hours


def test_another_budget_before_the_start_plans_and_divides_again(
    dataset: Path, tmp_path: Path, clock: Clock, few: list[float], seen: list[float]
) -> None:
    """As the run itself advises, in the same folder."""
    folder = tmp_path / "run"
    run = prepared(dataset, folder, clock, "demo", **WIDTH)
    assert len(ids(run)) == 6
    ScheduleRow("coarse", 10.0, 590.0).append(folder / "schedule.jsonl")
    (folder / "race" / "chosen").mkdir(parents=True)
    longer = prepared(dataset, folder, clock, "3h")
    assert seen == few == pytest.approx([1 / 6, 3.0], abs=1e-6)
    assert ids(longer) == set(longer.cache.ids)
    assert len(ids(longer)) == 10
    assert not (folder / "schedule.jsonl").exists()
    assert not (folder / "race").exists()
    assert len(ids(prepared(dataset, folder, clock, "demo"))) == 10  # all are prepared by then


def test_the_same_budget_again_keeps_everything(dataset: Path, tmp_path: Path, clock: Clock, few: list[float]) -> None:
    folder = tmp_path / "run"
    prepared(dataset, folder, clock, "demo", **WIDTH)
    names = ("plan.yaml", "planning.json", "folds.json", "cases.json", "run.yaml")
    before = {name: (folder / name).read_bytes() for name in names}
    prepared(dataset, folder, clock, "demo")
    prepared(dataset, folder, clock)
    assert {name: (folder / name).read_bytes() for name in names} == before
    assert few == pytest.approx([1 / 6], abs=1e-6)


def test_where_the_time_is_spent_the_fastest_plan_is_chosen(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    """By an earlier session that read the data for longer than the budget has."""
    folder = tmp_path / "run"
    folder.mkdir()
    write_json(folder / "spent.json", {"seconds": 700.0})
    prepared(dataset, folder, clock, "demo", **WIDTH)
    choice = read_json(folder / "planning.json")
    assert all(each["views"] > 0 for each in choice["close"])
    assert not any(" -" in each["text"] for each in choice["weighed"])


def test_ctrl_c_while_steps_are_timed_leaves_the_budget_that_was_written_down(
    dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By which later stages go, also where the user has edited his own file since; one that is missing comes back."""
    folder = tmp_path / "run"
    prepared(dataset, folder, clock, "demo", **WIDTH)
    written = (folder / "budget.yaml").read_bytes()

    def stopped(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(preparation, "_configured", stopped)
        with pytest.raises(KeyboardInterrupt):
            prepared(dataset, folder, clock, None, width=0.0625)
    assert (folder / "budget.yaml").read_bytes() == written
    (folder / "budget.yaml").unlink()
    prepared(dataset, folder, clock)
    assert (folder / "budget.yaml").read_bytes() == written


def test_an_edited_plan_stays_for_another_budget_and_the_cases_are_drawn_again(
    dataset: Path, tmp_path: Path, clock: Clock, few: list[float]
) -> None:
    folder = tmp_path / "run"
    edited = prepared(dataset, folder, clock, "demo", **WIDTH).plan.model_copy(update={"batch_size": 3})
    save_plan(edited, folder / "plan.yaml")
    longer = prepared(dataset, folder, clock, "hour")
    assert longer.plan == edited
    assert len(ids(longer)) == 10


def test_cases_are_drawn_again_by_the_way_of_dividing_that_was_asked_for(
    dataset: Path, tmp_path: Path, clock: Clock, few: list[float]
) -> None:
    values = WIDTH | {"folds.by": "random", "folds.count": 3}
    prepared(dataset, tmp_path / "run", clock, "demo", **values)
    longer = prepared(dataset, tmp_path / "run", clock, "hour")
    whole = prepared(dataset, tmp_path / "other", clock, "hour", **values)
    assert longer.folds == whole.folds


def planned(dataset: Path, folder: Path, clock: Clock, budget: str | None = None, **values: Any) -> Plan:
    """The plan alone, as of `c2fnas prepare --plan-only`."""
    run = Run(folder, time=ActiveTime(folder / "spent.json", clock))
    with run.locked():
        request = request_for(run.folder, budget=budget, overrides=values, devices=("cpu",))
        return preparation.prepare_plan(run, dataset, request)[1]


def test_a_run_has_the_budget_and_values_that_its_plan_was_made_for(
    dataset: Path, tmp_path: Path, clock: Clock, few: list[float]
) -> None:
    plan = planned(dataset, tmp_path / "run", clock, "3h", **WIDTH | {"plan.batch_size": 3})
    run = prepared(dataset, tmp_path / "run", clock)
    assert (run.config.budget, run.config.hours, run.width) == ("3h", 3, 0.125)
    assert run.plan == plan
    assert plan.batch_size == 3
    assert not run.folder.asked.exists()  # run.yaml says it now


def test_folds_that_were_edited_beside_the_plan_stay(
    dataset: Path, tmp_path: Path, clock: Clock, few: list[float]
) -> None:
    folder, values = tmp_path / "run", WIDTH | {"folds.by": "random", "folds.count": 3}
    planned(dataset, folder, clock, "3h", **values)
    run = Run(folder, time=ActiveTime(folder / "spent.json", clock))
    run_folds.keep_folds(run, read_dataset(dataset).sound(dataset), request_for(run.folder, overrides=values))
    folds = read_json(folder / "folds.json")
    write_json(folder / "folds.json", folds[::-1])
    prepared(dataset, folder, clock)
    assert read_json(folder / "folds.json") == folds[::-1]


def test_another_budget_makes_another_plan_unless_it_was_edited(
    dataset: Path, tmp_path: Path, clock: Clock, few: list[float], seen: list[float]
) -> None:
    folder = tmp_path / "run"
    for budget in ("demo", "3h", None):
        plan = planned(dataset, folder, clock, budget, **WIDTH)
    assert seen == pytest.approx([1 / 6, 3.0], abs=1e-6)
    save_plan(plan.model_copy(update={"batch_size": 3}), folder / "plan.yaml")
    assert planned(dataset, folder, clock, "hour").batch_size == 3
    assert len(seen) == 2


def test_a_begun_run_refuses_another_time(dataset: Path, tmp_path: Path, clock: Clock, few: list[float]) -> None:
    run = prepared(dataset, tmp_path / "run", clock, "demo", **WIDTH)
    run.folder.coarse.mkdir()
    with pytest.raises(UserError, match="another --budget"):
        prepared(dataset, tmp_path / "run", clock, "hour")
    assert len(ids(prepared(dataset, tmp_path / "run", clock))) == 6


def test_a_draw_is_kept_though_the_driver_dies_before_the_cases_are_prepared(
    dataset: Path, tmp_path: Path, clock: Clock, few: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two files, and while cases are prepared; neither time is measured or drawn again."""

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "run"
    for place, name in ((run_folds, "restricted"), (preparation, "prepare_cases")):
        real = getattr(place, name)
        monkeypatch.setattr(place, name, die)
        with pytest.raises(KeyboardInterrupt):
            prepared(dataset, folder, clock, "demo", **WIDTH)
        monkeypatch.setattr(place, name, real)
    drawn = read_json(folder / "cases.json")["cases"]
    run = prepared(dataset, folder, clock, "demo", **WIDTH)
    assert few == pytest.approx([1 / 6], abs=1e-6)
    assert sorted(ids(run)) == sorted(run.cache.ids) == drawn
    assert len(drawn) == 6


def test_classes_are_counted_in_the_cases_that_are_taken(
    dataset: Path, tmp_path: Path, clock: Clock, few: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepared(dataset, tmp_path / "run", clock, "demo", **WIDTH)
    counts = read_json(run.folder.check)["cases_per_class"]
    assert [row["training"]["background"] for row in counts] == [len(fold.training) for fold in run.folds]


def test_one_case_tells_how_many_are_prepared_by_the_workers_that_there_are(
    dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute for a case: a quarter of an hour prepares fifteen in turn, thirty by two workers, however many cores."""
    run = prepared(dataset, tmp_path / "run", clock, "demo", **WIDTH)
    data = preparation.read_dataset(dataset).sound(dataset)
    asked = list[int]()

    def prepare_cases(cases: Any, plan: Plan, folder: Path, *, workers: int = 1) -> None:
        asked.append(workers)
        clock.now += 60.0

    monkeypatch.setattr(affordable, "usable_cores", lambda: 16)
    monkeypatch.setattr(affordable, "prepare_cases", prepare_cases)
    for workers in (1, 2):
        monkeypatch.setattr(affordable, "preparing_workers", lambda *_, workers=workers: workers)
        assert affordable.affordable_cases(run, data, run.plan, 1.0) == (15 * workers, 1)
    assert asked == [1, 2]


def test_the_folds_that_are_asked_for_are_those_of_the_division(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    """Not of five folds."""
    values = WIDTH | {"folds.count": 10, "deployment.folds": [7]}
    run = prepared(dataset, tmp_path / "run", clock, "demo", **values)
    assert run.final_folds == (7,)
    with pytest.raises(UserError, match="numbers from 0 to 1"):
        prepared(dataset, tmp_path / "two", clock, "demo", **WIDTH | {"folds.count": 2, "deployment.folds": [4]})


def test_a_stride_that_small_patches_do_not_have_rules_them_out(dataset: Path, tmp_path: Path, clock: Clock) -> None:
    run = prepared(dataset, tmp_path / "run", clock, "demo", **WIDTH | {"plan.stride": [40, 40, 8]})
    assert run.plan.stride == (40, 40, 8)
    with pytest.raises(UserError, match=r"--set plan: .*stride is longer than patch_size"):
        prepared(dataset, tmp_path / "other", clock, "demo", **WIDTH | {"plan.stride": [500, 40, 8]})
